/** Time and timers, so that what waits can be tested without waiting. */
export interface Clock {
  /** Milliseconds since any moment; never goes back. */
  now(): number;
  /** Calls once after so many milliseconds. @returns calls it off */
  after(milliseconds: number, callback: () => void): () => void;
}

/** The machine's clock. Its timers keep no process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, milliseconds).unref();
    return () => clearTimeout(timer);
  },
};
