import type { Readable } from 'node:stream';
import { ServiceError } from '../errors.js';

/** Bytes that may wait for the sink before the stream is told to pause. */
const waitingBytes = 1024 * 1024;

/** A request's stream only ever breaks because its client has gone, or its form makes no sense; a download explains. */
function sourceError(error: unknown): Error {
  const explained = error instanceof ServiceError || (error instanceof Error && error.name === 'AbortError');
  if (explained) return error;
  return new ServiceError('BAD_REQUEST', 'The upload ended before all of the file had arrived', { cause: error });
}

/** Gathers what arrives while the sink is at work: one large write costs hardly more than one small. */
class Pump {
  #waiting: Buffer[] = [];
  #bytes = 0;
  #isAtWork = false;
  /** Settles when the sink has had all that came, or has failed. */
  work: Promise<void> = Promise.resolve();

  constructor(
    private readonly stream: Readable,
    private readonly sink: (bytes: Buffer) => Promise<void>,
  ) {}

  /** @param failed told that the sink has failed; `work` says with what */
  take(chunk: Buffer, failed: () => void): void {
    this.#waiting.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes >= waitingBytes) this.stream.pause();
    if (this.#isAtWork) return;
    this.work = this.#empty();
    this.work.catch(failed);
  }

  /** Leaves out what the sink has not had so far. */
  drop(): void {
    this.#waiting = [];
  }

  async #empty(): Promise<void> {
    // For good when the sink fails: after a gap nothing may follow.
    this.#isAtWork = true;
    while (this.#waiting.length > 0) {
      const bytes = Buffer.concat(this.#waiting);
      this.#waiting = [];
      this.#bytes = 0;
      this.stream.resume();
      await this.sink(bytes);
    }
    this.#isAtWork = false;
  }
}

/**
 * Hands all bytes of a stream to a sink, which slows the stream down to its own pace: never more than 2 MiB are held.
 * A sink that fails leaves the stream paused and alive, so that the request it belongs to can still be answered.
 * @throws ServiceError BAD_REQUEST when the stream breaks without saying why, and what the sink throws
 */
export function pump(stream: Readable, sink: (bytes: Buffer) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const state = new Pump(stream, sink);
    const settle = (broken?: Error) => {
      stream.pause();
      stream.off('data', more).off('end', end).off('error', fail).off('close', gone);
      if (broken !== undefined) state.drop();
      // The last bytes may still be on their way to the disk: the caller is about to close the file, and they may yet fail.
      state.work.then(
        () => (broken === undefined ? resolve() : reject(broken)),
        (failed: unknown) => reject(broken ?? (failed instanceof Error ? failed : new Error(String(failed)))),
      );
    };
    const more = (chunk: Buffer) => state.take(chunk, end);
    const end = () => settle();
    const fail = (error: unknown) => settle(sourceError(error));
    // What broke the stream before anybody listened is kept in `errored`.
    const gone = () => fail(stream.errored);
    stream.on('data', more).on('end', end).on('error', fail).on('close', gone);
    // Stays for good: a stream that breaks when nobody takes from it any more must not end the process.
    stream.on('error', () => undefined);
    if (stream.destroyed) gone();
    else stream.resume();
  });
}
