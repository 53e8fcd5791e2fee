/** Lets a bounded number of things go on at a time; the others wait in the order in which they came. */
export class Slots {
  readonly #waiting = new Set<() => void>();
  #taken = 0;
  #count: number;

  /** @param count how many may go on at a time */
  constructor(count: number) {
    this.#count = count;
  }

  /** Lets so many go on from now on: those that go on already end as they would. */
  resize(count: number): void {
    this.#count = count;
    this.#fill();
  }

  /** Does this when there is a slot. @param signal ends the waiting: rejects with an AbortError */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#taken < this.#count) this.#taken += 1;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      this.#taken -= 1;
      this.#fill();
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        this.#waiting.delete(begin);
        reject(new DOMException('It was given up while it waited', 'AbortError'));
      };
      const begin = () => {
        signal?.removeEventListener('abort', giveUp);
        resolve();
      };
      this.#waiting.add(begin);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  #fill(): void {
    for (const next of this.#waiting) {
      if (this.#taken >= this.#count) return;
      this.#waiting.delete(next);
      this.#taken += 1;
      next();
    }
  }
}
