/** Does one thing after the other. */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve();

  /** Does this when all before it is done, whether that went well or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
