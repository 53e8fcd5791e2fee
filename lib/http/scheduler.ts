/** Milliseconds of work before the event loop looks at what else has come in: a few writes of a large chunk. */
const workPerTurn = 0.5;

/**
 * Work that takes turns, first come, first served. A write that the kernel takes at once calls back at once, so that
 * a fast client would have the event loop to itself; and a hundred such clients, each with one write in a turn of the
 * loop, would keep a new one waiting.
 */
export class Scheduler {
  readonly #waiting: (() => void)[] = [];
  #isScheduled = false;

  /** @param now milliseconds */
  constructor(private readonly now = () => performance.now()) {}

  /** Does this in a later turn of the event loop, after all that was given before it. */
  run(work: () => void): void {
    this.#waiting.push(work);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isScheduled = false;
    const began = this.now();
    try {
      for (let work = this.#waiting.shift(); work !== undefined; work = this.#waiting.shift()) {
        work();
        if (this.now() - began >= workPerTurn) break;
      }
    } finally {
      if (this.#waiting.length > 0) this.#schedule();
    }
  }
}
