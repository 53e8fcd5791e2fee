/** Milliseconds over which the rate is taken, and those that are counted together. */
const span = 5000;
const step = 100;

/** How fast something goes at the moment. */
export class Rate {
  #samples: { readonly at: number; amount: number }[] = [];

  /** @param now milliseconds on a clock that never goes back */
  add(amount: number, now = performance.now()): void {
    const last = this.#samples.at(-1);
    if (last && now - last.at < step) {
      last.amount += amount;
      return;
    }
    this.#forget(now);
    this.#samples.push({ at: now, amount });
  }

  /** The amount of the last seconds, for one second. */
  perSecond(now = performance.now()): number {
    this.#forget(now);
    return Math.round((this.#samples.reduce((sum, { amount }) => sum + amount, 0) * 1000) / span);
  }

  #forget(now: number): void {
    const first = this.#samples.findIndex(({ at }) => now - at < span);
    this.#samples = first < 0 ? [] : this.#samples.slice(first);
  }
}
