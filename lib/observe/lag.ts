import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds between two looks. */
const resolution = 20;

/** How late the event loop comes to what is due: for so long nobody gets an answer. */
export class Lag {
  readonly #delays = monitorEventLoopDelay({ resolution });

  start(): void {
    this.#delays.enable();
  }

  /** The longest since the last time, in seconds. */
  take(): number {
    const { max } = this.#delays;
    this.#delays.reset();
    // What is measured has the time in it that was meant to pass.
    return Math.max(0, max / 1e9 - resolution / 1000);
  }

  stop(): void {
    this.#delays.disable();
  }
}
