/** Milliseconds, which the kernel makes a little longer. */
const pause = 0.02;
const cell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Leaves some of the connections that come at the same time to the other processes that take them from the same port.
 * Whichever wakes up first could have all of a thousand before the next one has looked, and would serve them alone.
 */
export class FairAccepting {
  #taken = 0;

  /** A connection has been taken. */
  take(): void {
    if (this.#taken++ === 0) setImmediate(() => (this.#taken = 0));
    // Sleeps: there is no other way to have the kernel let another process run.
    else Atomics.wait(cell, 0, 0, pause);
  }
}
