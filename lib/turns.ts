import { setImmediate as turn } from 'node:timers/promises';

/** Milliseconds of work between two turns of the event loop. Steps are not counted: some cost a hundred times others. */
const workPerTurn = 5;

/** Lets long work share the event loop: between two steps it asks whether the others have waited long enough. */
export class Turns {
  #since = performance.now();

  get isDue(): boolean {
    return performance.now() - this.#since >= workPerTurn;
  }

  /** Resolves once everything else that was ready has run. */
  async take(): Promise<void> {
    await turn();
    this.#since = performance.now();
  }
}
