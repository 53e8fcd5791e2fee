/** Milliseconds of work before the event loop looks at what else has come in: a few writes of a large chunk. */
const workPerTurn = 0.5;

/**
 * Work that takes turns, first come, first served. A write that the kernel takes at once calls back at once, so that
 * a fast client would have the event loop to itself; and a hundred such clients, each with one write in a turn of the
 * loop, would keep a new one waiting.
 */
export class Scheduler {
  readonly #waiting: (() => void)[] = [];
  #began = 0;

  /** @param now milliseconds */
  constructor(private readonly now = () => performance.now()) {}

  /** Does this in a later turn of the event loop, after all that was given before it. */
  run(work: () => void): void {
    this.#waiting.push(work);
    if (this.#waiting.length === 1) this.#nextTurn();
  }

  #nextTurn(): void {
    setImmediate(() => {
      this.#began = this.now();
      this.#next();
    });
  }

  #next(): void {
    const work = this.#waiting[0];
    if (work === undefined) return;
    try {
      work();
    } finally {
      // Not before: what is given by this work itself must find that somebody is at work.
      this.#waiting.shift();
      // Node writes a piece of an answer at the next tick only: it belongs to what is measured.
      if (this.#waiting.length > 0) process.nextTick(() => this.#goOn());
    }
  }

  #goOn(): void {
    if (this.now() - this.#began < workPerTurn) this.#next();
    else this.#nextTurn();
  }
}
