/** Failures that are free, and milliseconds after which one of them is forgotten. */
export interface ThrottleLimits {
  readonly burst: number;
  readonly interval: number;
  /** How many clients are remembered; beyond that, the one that has been quiet longest is forgotten. */
  readonly remembered: number;
}

/** Ten failures within a minute, then one every six seconds. */
export const throttleLimits: ThrottleLimits = { burst: 10, interval: 6000, remembered: 10_000 };

/** Slows those who fail again and again (a leaky bucket for each). */
export class Throttle {
  /** When all failures of a client are forgotten, the client that failed last at the end. */
  readonly #until = new Map<string, number>();

  /** @param now milliseconds since any moment; never goes back */
  constructor(
    private readonly limits = throttleLimits,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** How many clients are remembered. */
  get size(): number {
    return this.#until.size;
  }

  /**
   * Takes one try, which counts as failed until it is given back: many tries at once must not all be free.
   * @returns milliseconds until the next one is allowed, when this one is not; else 0
   */
  take(client: string): number {
    const { burst, interval, remembered } = this.limits;
    const now = this.now();
    const until = Math.max(this.#until.get(client) ?? 0, now) + interval;
    const excess = until - now - burst * interval;
    if (excess > 0) return excess;
    this.#until.delete(client);
    this.#until.set(client, until);
    const [first] = this.#until.keys();
    if (first !== undefined && this.#until.size > remembered) this.#until.delete(first);
    return 0;
  }

  /** The try has not failed. */
  giveBack(client: string): void {
    const until = (this.#until.get(client) ?? 0) - this.limits.interval;
    if (until > this.now()) this.#until.set(client, until);
    else this.#until.delete(client);
  }
}
