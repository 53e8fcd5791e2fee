import { Readable } from 'node:stream';
import { badGateway, isAbort, silent, TemporaryFailure } from './download-failure.js';

/** The connection that a body comes from. */
export interface Flow {
  resume(): void;
  pause(): void;
  /** Ends the connection; called once. */
  close(): void;
}

export interface BodyOptions {
  readonly host: string;
  /** Where in the file the body begins, in bytes. */
  readonly offset: number;
  /** Bytes of the whole file, when they are known. */
  readonly length: number | undefined;
  /** Milliseconds. */
  readonly idleTimeout: number;
}

const buffered = 262144;

/** The body of an answer: ends only when it is complete, and counts silence only while somebody wants to read. */
export class Body extends Readable {
  #position: number;
  #isWanted = false;
  /** Why nothing more will come. */
  #failure: Error | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(
    private readonly flow: Flow,
    private readonly options: BodyOptions,
  ) {
    super({ highWaterMark: buffered });
    const { host, offset, idleTimeout } = options;
    this.#position = offset;
    this.#timer = setInterval(() => {
      if (this.#isWanted) this.destroy(silent(host, idleTimeout));
    }, idleTimeout);
    // Whoever takes the body may open a file first; a failure meanwhile is kept for them and must not end the process.
    this.on('error', () => undefined);
  }

  override _read(): void {
    if (!this.#isWanted) this.#timer.refresh();
    this.#isWanted = true;
    this.flow.resume();
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    this.#fail();
    return chunk;
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#timer);
    this.flow.close();
    done(error);
  }

  receive(chunk: Buffer): void {
    const { host, length } = this.options;
    this.#position += chunk.length;
    this.#timer.refresh();
    if (length !== undefined && this.#position > length) {
      this.destroy(badGateway(`${host} sent more than the ${length} bytes that it had announced`));
    } else if (!this.push(chunk)) {
      this.#isWanted = false;
      this.flow.pause();
    }
  }

  /** The far end has nothing more to send. */
  complete(): void {
    const { length } = this.options;
    clearInterval(this.#timer);
    if (length !== undefined && this.#position < length) this.breakOff();
    else this.push(null);
  }

  /** @param cause what happened to the connection, where anybody knows; an abort stays one */
  breakOff(cause?: unknown): void {
    if (isAbort(cause)) {
      this.destroy(cause);
      return;
    }
    const { host, length } = this.options;
    const total = length === undefined ? '' : ` of ${length}`;
    const message = `The download from ${host} broke off after ${this.#position}${total} bytes`;
    clearInterval(this.#timer);
    this.#failure = new TemporaryFailure('BAD_GATEWAY', message, { cause });
    this.#fail();
  }

  /** Ends a body that has broken off when all that had come before has been read: it need not come again. */
  #fail(): void {
    const failure = this.#failure;
    if (failure !== undefined && this.readableLength === 0) process.nextTick(() => this.destroy(failure));
  }
}
