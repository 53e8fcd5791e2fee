/** Lets a bounded number of things go on at a time; the others wait in the order in which they came. */
export class Slots {
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  /** @param count how many may go on at a time */
  constructor(private readonly count: number) {}

  /** Does this when there is a slot. @param signal ends the waiting: rejects with an AbortError */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#taken < this.count) this.#taken += 1;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      this.#pass();
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

  #pass(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
