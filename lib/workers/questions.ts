/** Questions to another process that it has not answered yet, by their numbers. */
export class Questions {
  readonly #waiting = new Map<number, (failure: string | undefined) => void>();
  #last = 0;
  #isEnded = false;

  /**
   * Puts a question.
   * @param put sends it, with the number that its answer is going to have
   * @returns what went wrong there, in words
   */
  ask(put: (ask: number) => void): Promise<string | undefined> {
    const ask = ++this.#last;
    return new Promise((resolve) => {
      if (this.#isEnded) {
        resolve(undefined);
        return;
      }
      this.#waiting.set(ask, resolve);
      put(ask);
    });
  }

  answer(ask: number, failure: string | undefined): void {
    this.#waiting.get(ask)?.(failure);
    this.#waiting.delete(ask);
  }

  /** The other process is gone: nothing has failed, as nothing is left there that could differ. */
  end(): void {
    this.#isEnded = true;
    for (const ask of [...this.#waiting.keys()]) this.answer(ask, undefined);
  }
}
