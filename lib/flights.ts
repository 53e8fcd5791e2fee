/** A call that has not begun: whoever comes until it does takes part in it. */
interface Waiting<T> {
  parts: number;
  readonly outcome: Promise<T>;
}

/**
 * Lets callers who want the same thing at the same time share one call (single flight). Who comes while a call is under
 * way takes the next one: the one under way may have looked before something changed that the caller knows of.
 */
export class Flights<T> {
  readonly #running = new Map<string, Promise<unknown>>();
  readonly #waiting = new Map<string, Waiting<T>>();

  /**
   * @param key callers with the same one want the same thing
   * @param call is told how many share its outcome
   */
  run(key: string, call: (parts: number) => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running === undefined) return this.#start(key, call, 1);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      waiting.parts++;
      return waiting.outcome;
    }
    const outcome = running.then(() => {
      const parts = this.#waiting.get(key)?.parts ?? 1;
      this.#waiting.delete(key);
      return this.#start(key, call, parts);
    });
    this.#waiting.set(key, { parts: 1, outcome });
    return outcome;
  }

  #start(key: string, call: (parts: number) => Promise<T>, parts: number): Promise<T> {
    const outcome = call(parts);
    const over = () => {
      if (!this.#waiting.has(key)) this.#running.delete(key);
    };
    this.#running.set(key, outcome.then(over, over));
    return outcome;
  }
}
