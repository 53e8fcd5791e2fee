/** Counts the files that are open, so that somebody can wait for the last of them to be closed. */
export class OpenFiles {
  #count = 0;
  readonly #waiting = new Set<() => void>();

  get count(): number {
    return this.#count;
  }

  /** @returns lets go again; safe to call twice */
  hold(): () => void {
    this.#count++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      if (--this.#count > 0) return;
      for (const resolve of this.#waiting) resolve();
    };
  }

  /** Waits until none is open, so many milliseconds at most. */
  async drained(milliseconds: number): Promise<void> {
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      this.#waiting.add(end);
    });
  }
}
