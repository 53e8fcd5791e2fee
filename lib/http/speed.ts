/** Milliseconds after which what a client did counts for a third. */
const memory = 10_000;
/** Milliseconds of waiting before which nothing is said: every client waits a little. */
const patience = 100;
/** Bytes a millisecond, which is kilobytes a second: far below what a busy server leaves to each of a thousand. */
const slow = 256;

/**
 * How fast a client takes bytes. The kernel takes megabytes at once and then, with a slow client, nothing for seconds;
 * so it is the long waits that tell, and a fast piece after one does not make the client fast.
 */
export class Speed {
  #bytes = 0;
  #milliseconds = 0;

  /** Notes that so many bytes were with the kernel so many milliseconds after they were given to it. */
  add(bytes: number, milliseconds: number): void {
    const weight = Math.exp(-milliseconds / memory);
    this.#bytes = this.#bytes * weight + bytes;
    this.#milliseconds = this.#milliseconds * weight + milliseconds;
  }

  get isSlow(): boolean {
    return this.#milliseconds > patience && this.#bytes < slow * this.#milliseconds;
  }
}
