import { stat } from 'node:fs/promises';

/**
 * Notices that no thread is left for files. libuv has four of them for everything, and a read from a FUSE mount whose
 * process hangs keeps one until that process is killed: four downloads from such a mount stop the whole service. Nothing
 * may be spawned to find out: between fork and exec the kernel closes every file of ours once more in the child, asks
 * the process that hangs for its leave, and the parent waits for the child. So this watch only takes the time.
 */
export class ThreadWatch {
  readonly #timer: NodeJS.Timeout;
  #isAsking = false;

  /**
   * @param answer milliseconds in which a thread is free
   * @param pause milliseconds between two looks
   * @param onStall is told each time when none was free for so long
   */
  constructor(
    private readonly answer: number,
    pause: number,
    private readonly onStall: () => void,
  ) {
    this.#timer = setInterval(() => void this.#look(), pause);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const timer = setInterval(this.onStall, this.answer);
    // The kernel answers at once.
    await stat('/proc/self').catch(() => undefined);
    clearInterval(timer);
    this.#isAsking = false;
  }
}
