import type { Writable } from 'node:stream';
import { ServiceError } from '../errors.js';
import type { Pace } from './pace.js';
import { Speed } from './speed.js';
import { Scheduler } from './scheduler.js';

/** Bytes of the first write, and how much longer each one is that follows. */
const firstBytes = 64 * 1024;
const growth = 4;

/** All answers of a process share its one event loop. */
const scheduler = new Scheduler();

type Done = (error?: Error | null) => void;

/** The way out for the bytes of one answer: its pace, its turns, and how fast the client takes them. */
export class Outlet {
  readonly #speed = new Speed();
  #most = firstBytes;
  #hasBegun = false;
  #isWriting = false;
  #giveUp: (() => void) | undefined;
  readonly #onClosed = () => this.#giveUp?.();

  /**
   * Listens to `closed` until `end()`.
   * @param now milliseconds
   */
  constructor(
    private readonly target: Writable,
    private readonly closed: AbortSignal,
    private readonly pace: Pace | undefined,
    private readonly now: () => number,
  ) {
    closed.addEventListener('abort', this.#onClosed);
  }

  /** The most bytes to send at once. */
  get most(): number {
    return Math.min(this.#most, this.pace?.bytes ?? Infinity);
  }

  get isSlow(): boolean {
    return this.#speed.isSlow;
  }

  /** Whether the stream has nothing of what was sent any more: false after a write that was given up. */
  get isClear(): boolean {
    return !this.#isWriting;
  }

  /**
   * Writes bytes when it is their turn; resolves once they are with the kernel.
   * @throws ServiceError TIMEOUT when the connection is gone; what the pace rejects with
   */
  send(bytes: Buffer): Promise<void> {
    // The first bytes do not queue behind those who are well under way.
    return this.#send(bytes, this.#hasBegun);
  }

  /** The same, for bytes that have been waited for: reading them was a turn of the event loop. */
  sendAtOnce(bytes: Buffer): Promise<void> {
    return this.#send(bytes, false);
  }

  end(): void {
    this.closed.removeEventListener('abort', this.#onClosed);
  }

  async #send(bytes: Buffer, inTurn: boolean): Promise<void> {
    const waited = this.pace === undefined ? 0 : await this.#waitFor(this.pace, bytes.length);
    await this.#unlessClosed((done) => {
      const write = () => this.#write(bytes, waited, done);
      if (inTurn) scheduler.run(write);
      else write();
    });
    this.#most *= growth;
  }

  /** Gives the milliseconds that it took: to whom little is given is as slow as who takes little. */
  async #waitFor(pace: Pace, bytes: number): Promise<number> {
    const began = this.now();
    await this.#unlessClosed((done) => void pace.take(bytes).then(() => done(), done));
    return this.now() - began;
  }

  #write(bytes: Buffer, waited: number, done: Done): void {
    // Given up while it waited for its turn: the buffer is somebody else's by now.
    if (this.closed.aborted) return;
    this.#hasBegun = true;
    this.#isWriting = true;
    const began = this.now() - waited;
    // Corked by itself, an answer would be written at the next tick, when others have been given their turn already.
    this.target.cork();
    this.target.write(bytes, (error) => {
      this.#isWriting = false;
      this.#speed.add(bytes.length, this.now() - began);
      done(error && gone());
    });
    this.target.uncork();
  }

  // A pipelined answer that waits for its turn is never told that its connection has closed.
  #unlessClosed(begin: (done: Done) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#giveUp = () => reject(gone());
      if (this.closed.aborted) this.#giveUp();
      else begin((error) => (error ? reject(error) : resolve()));
    });
  }
}

function gone(): ServiceError {
  return new ServiceError('TIMEOUT', 'The client closed the connection');
}
