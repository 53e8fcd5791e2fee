import { once } from 'node:events';

/** Lets a bounded number of things go on at a time; the others wait in the order in which they came. */
export class Slots {
  readonly #waiting: EventTarget[] = [];
  #taken = 0;

  /** @param count how many may go on at a time */
  constructor(private readonly count: number) {}

  /** Does this when there is a slot. @param signal ends the waiting: rejects with an AbortError */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#take(signal);
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  #pass(): void {
    const next = this.#waiting.shift();
    if (next) next.dispatchEvent(new Event('turn'));
    else this.#taken -= 1;
  }

  async #take(signal: AbortSignal): Promise<void> {
    if (this.#taken < this.count) {
      this.#taken += 1;
      return;
    }
    const turn = new EventTarget();
    this.#waiting.push(turn);
    try {
      await once(turn, 'turn', { signal });
    } catch (error) {
      const place = this.#waiting.indexOf(turn);
      // Given at the very moment of the abort: it goes to the next one.
      if (place < 0) this.#pass();
      else this.#waiting.splice(place, 1);
      throw error;
    }
  }
}
