import { ServiceError } from '../errors.js';

/** Calls at a time into one mount. */
export const maxCalls = 2;

/** Calls at a time into all mounts together: libuv has four threads for all files of the service, and one stays free. */
const maxThreads = 3;

function noAnswer(): ServiceError {
  return new ServiceError('UNAVAILABLE', 'The mount of this image does not answer');
}

function noThread(): ServiceError {
  return new ServiceError('UNAVAILABLE', 'Other mounts do not answer, and keep the service from asking this one');
}

/** The threads that mounts have between them. */
export class Threads {
  readonly #waiting = new Set<() => void>();

  constructor(private free: number) {}

  /** @returns whether there was one in so many milliseconds: it is to be given back then */
  async take(timeout: number): Promise<boolean> {
    if (this.free > 0) {
      this.free--;
      return true;
    }
    return new Promise((resolve) => {
      const turn = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(turn);
        resolve(false);
      }, timeout);
      this.#waiting.add(turn);
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

const threadsOfAll = new Threads(maxThreads);

/**
 * System calls into a mount that may hang, as a FUSE mount does when its process is stopped, and a loop mount when the
 * disk of its .iso goes away. A call that hangs cannot be taken back: its thread stays with it until the mount is
 * aborted. So there are few at a time, whoever asked is answered after a while, and nobody may ask again before the
 * mount has answered. Reading files that are open already does not come by here: see `ThreadWatch`.
 */
export class Calls {
  #running = 0;
  #hanging = 0;
  readonly #waiting: ((error?: ServiceError) => void)[] = [];

  /**
   * @param timeout milliseconds for one call, once it is made
   * @param onHang is told, once for each call that takes longer
   * @param threads are shared with all other mounts
   */
  constructor(
    private readonly timeout: number,
    private readonly onHang: () => void,
    private readonly threads = threadsOfAll,
  ) {}

  /**
   * Makes a call when it is its turn.
   * @param discard is given what comes after nobody waits any more
   * @throws ServiceError UNAVAILABLE when there is no answer
   */
  async run<T>(call: () => Promise<T>, discard: (late: T) => void = () => undefined): Promise<T> {
    await this.#turn();
    if (!(await this.threads.take(this.timeout))) {
      this.#release();
      throw noThread();
    }
    let isLate = false;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        isLate = true;
        reject(noAnswer());
        this.#hang();
      }, this.timeout);
    });
    const made = call();
    const end = () => {
      clearTimeout(timer);
      if (isLate) this.#hanging--;
      this.threads.give();
      this.#release();
    };
    made.then((value) => {
      end();
      if (isLate) discard(value);
    }, end);
    return Promise.race([made, late]);
  }

  async #turn(): Promise<void> {
    if (this.#hanging > 0) throw noAnswer();
    if (this.#running < maxCalls) {
      this.#running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }

  #hang(): void {
    this.#hanging++;
    for (const refuse of this.#waiting.splice(0)) refuse(noAnswer());
    this.onHang();
  }
}
