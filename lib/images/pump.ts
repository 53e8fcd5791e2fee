import type { Readable } from 'node:stream';
import { ServiceError } from '../errors.js';

/** Bytes that may wait in all pumps together, as long as each has its least. */
const sharedBytes = 5 * 1024 * 1024;
const leastBytes = 256 * 1024;
/** Chunks that may wait in one: small ones take more room than their bytes. */
const mostChunks = 1024;

let pumps = 0;

/** Bytes that may wait for a sink before its stream is told to pause. Half of them are worth the sink's while. */
function mostBytes(): number {
  return Math.max(leastBytes, sharedBytes / pumps);
}

/** A request's stream only ever breaks because its client has gone, or its form makes no sense; a download explains. */
function sourceError(error: unknown): Error {
  const explained = error instanceof ServiceError || (error instanceof Error && error.name === 'AbortError');
  if (explained) return error;
  return new ServiceError('BAD_REQUEST', 'The upload ended before all of the file had arrived', { cause: error });
}

/** Milliseconds that fewer bytes than are worth the sink's while wait for more. */
const patience = 20;

/** Smaller chunks than these, on average, cost less to copy than to pass on each by itself. */
const smallBytes = 16 * 1024;

/** Gathers what arrives: one large write costs hardly more than one small. */
class Pump {
  #waiting: Buffer[] = [];
  #bytes = 0;
  #isAtWork = false;
  #timer: NodeJS.Timeout | undefined;
  #least = 1;
  #isOver = false;
  /** Settles when the sink has had all that came, or has failed. */
  work: Promise<void> = Promise.resolve();

  constructor(
    private readonly stream: Readable,
    private readonly sink: (chunks: readonly Buffer[]) => Promise<void>,
    private readonly failed: () => void,
  ) {
    pumps += 1;
  }

  take(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes >= mostBytes() || this.#waiting.length >= mostChunks) this.stream.pause();
    if (this.#bytes >= mostBytes() / 2) this.#start(mostBytes() / 2);
    else this.#timer ??= setTimeout(() => this.#start(1), patience);
  }

  /** Hands over what waits: no more will come. What has arrived is worth keeping, also when the rest does not. */
  flush(): void {
    if (!this.#isOver) pumps -= 1;
    this.#isOver = true;
    this.#start(1);
  }

  /** @param least bytes that the sink is not given fewer of */
  #start(least: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#least = least;
    if (this.#isAtWork) return;
    this.work = this.#empty();
    this.work.catch(this.failed);
  }

  async #empty(): Promise<void> {
    // For good when the sink fails: after a gap nothing may follow.
    this.#isAtWork = true;
    while (this.#bytes >= this.#least && this.#bytes > 0) {
      const chunks = this.#waiting;
      const isSmall = this.#bytes < smallBytes * chunks.length;
      this.#waiting = [];
      this.#bytes = 0;
      if (!this.#isOver) this.stream.resume();
      await this.sink(isSmall ? [Buffer.concat(chunks)] : chunks);
    }
    this.#isAtWork = false;
    if (this.#bytes > 0) this.#timer ??= setTimeout(() => this.#start(1), patience);
  }
}

/**
 * Hands all bytes of a stream to a sink, which slows the stream down to its own pace: 5 MiB wait for all
 * sinks together, and no more than 256 KiB for each when these are many. What the sink gets is its own. A sink that fails
 * leaves the stream paused and alive, so that the request it belongs to can still be answered.
 * @param signal ends it where it is, with the reason of the abort
 * @throws ServiceError BAD_REQUEST when the stream breaks without saying why, and what the sink throws
 */
export function pump(
  stream: Readable,
  sink: (chunks: readonly Buffer[]) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const state = new Pump(stream, sink, () => end());
    const settle = (broken?: Error) => {
      stream.pause();
      stream.off('data', more).off('end', end).off('error', fail).off('close', gone);
      signal?.removeEventListener('abort', abort);
      state.flush();
      // The last bytes may still be on their way to the disk: the caller is about to close the file, and they may yet fail.
      state.work.then(
        () => (broken === undefined ? resolve() : reject(broken)),
        (failed: unknown) => reject(broken ?? (failed instanceof Error ? failed : new Error(String(failed)))),
      );
    };
    const more = (chunk: Buffer) => state.take(chunk);
    const end = () => settle();
    const fail = (error: unknown) => settle(sourceError(error));
    // What broke the stream before anybody listened is kept in `errored`.
    const gone = () => fail(stream.errored);
    const abort = () => fail(signal?.reason);
    stream.on('data', more).on('end', end).on('error', fail).on('close', gone);
    // Stays for good: a stream that breaks when nobody takes from it any more must not end the process.
    stream.on('error', () => undefined);
    signal?.addEventListener('abort', abort);
    if (signal?.aborted) abort();
    else if (stream.destroyed) gone();
    else stream.resume();
  });
}
