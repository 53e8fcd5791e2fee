import { Worker } from 'node:worker_threads';
import { ServiceError } from '../errors.js';

export const algorithms = ['sha256', 'sha512', 'md5'] as const;
export type Algorithm = (typeof algorithms)[number];
/** Hexadecimal, in lower case. */
export type Digests = Readonly<Partial<Record<Algorithm, string>>>;

/** What the thread is told to do. `id` says with which of the digests that it is computing. */
export type HashCommand =
  | { readonly type: 'open'; readonly id: number; readonly algorithms: readonly Algorithm[] }
  | { readonly type: 'update'; readonly id: number; readonly chunks: readonly Uint8Array<ArrayBuffer>[] }
  | { readonly type: 'digest'; readonly id: number }
  | { readonly type: 'discard'; readonly id: number }
  | { readonly type: 'file'; readonly id: number; readonly algorithms: readonly Algorithm[]; readonly path: string }
  | { readonly type: 'stop' };

export interface HashRequest {
  /** The number that its reply will have. */
  readonly request: number;
  readonly command: HashCommand;
}

/** Every request has one reply. */
export interface HashReply {
  readonly request: number;
  /** Empty for commands that ask for none. */
  readonly digests: Digests;
  /** Of an Error's members only those that survive the way between threads. */
  readonly failure: { readonly message: string; readonly code: string | undefined } | undefined;
}

/** Digests of bytes that arrive one after the other. Whoever opened it ends it, by `digest` or by `discard`. */
export interface Hasher {
  /**
   * Takes the next bytes, for good: chunks that have their memory for themselves are empty afterwards, others are copied.
   * Calls count in the order in which they are made. Resolves when the bytes are digested.
   */
  update(chunks: readonly Buffer[]): Promise<void>;
  /** Of all bytes so far. */
  digest(): Promise<Digests>;
  /** Lets go of the state without a result. Safe to call at any time. */
  discard(): void;
}

interface Waiting {
  readonly resolve: (digests: Digests) => void;
  readonly reject: (error: Error) => void;
}

class Thread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;
  #ids = 0;
  /** Why it has ended. */
  #end: ServiceError | undefined;
  readonly #exited: Promise<void>;

  constructor(script: URL) {
    // Options of Node that are meant for the program itself would end the thread.
    this.#worker = new Worker(script, { execArgv: [] });
    this.#worker.unref();
    this.#worker.on('message', (reply: HashReply) => this.#settle(reply));
    this.#worker.on('error', (cause: unknown) => this.#fail(cause));
    this.#worker.on('exit', (code) => this.#fail(new Error(`The thread has ended with exit code ${code}`)));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  nextId(): number {
    return ++this.#ids;
  }

  ask(command: HashCommand, transferred: readonly ArrayBuffer[] = []): Promise<Digests> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const request: HashRequest = { request: ++this.#requests, command };
    this.#worker.postMessage(request, transferred);
    // A process that awaits a reply must not end before it comes, just as with an operation of the file system.
    this.#worker.ref();
    return new Promise((resolve, reject) => this.#waiting.set(request.request, { resolve, reject }));
  }

  /** For commands whose failure shows in a later one, or in none. */
  tell(command: HashCommand): void {
    this.ask(command).catch(() => undefined);
  }

  /** Lets the thread come to its end by itself: one that is terminated leaves open what it was opening. */
  async stop(): Promise<void> {
    this.tell({ type: 'stop' });
    this.#endWith(new ServiceError('UNAVAILABLE', 'The service is stopping'));
    this.#worker.ref();
    await this.#exited;
  }

  #settle({ request, digests, failure }: HashReply): void {
    const waiting = this.#waiting.get(request);
    // A late reply of a thread that is being stopped.
    if (waiting === undefined) return;
    this.#waiting.delete(request);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (failure === undefined) waiting.resolve(digests);
    else
      waiting.reject(Object.assign(new Error(failure.message), failure.code !== undefined && { code: failure.code }));
  }

  #fail(cause: unknown): void {
    this.#endWith(new ServiceError('INTERNAL', 'The digest of the file could not be computed', { cause }));
  }

  #endWith(end: ServiceError): void {
    // An exit follows the error that causes it; the first one explains.
    this.#end ??= end;
    for (const { reject } of this.#waiting.values()) reject(this.#end);
    this.#waiting.clear();
    this.#worker.unref();
  }
}

/** Node's small Buffers share one pool: to transfer that away would take the bytes of strangers with it. */
function ownMemory(chunk: Buffer): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = chunk;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
  return isWhole ? new Uint8Array(buffer) : new Uint8Array(chunk);
}

class ThreadHasher implements Hasher {
  readonly #id: number;

  constructor(
    private readonly thread: Thread,
    algorithms: readonly Algorithm[],
  ) {
    this.#id = thread.nextId();
    thread.tell({ type: 'open', id: this.#id, algorithms });
  }

  async update(chunks: readonly Buffer[]): Promise<void> {
    const own = chunks.map(ownMemory);
    await this.thread.ask(
      { type: 'update', id: this.#id, chunks: own },
      own.map(({ buffer }) => buffer),
    );
  }

  digest(): Promise<Digests> {
    return this.thread.ask({ type: 'digest', id: this.#id });
  }

  discard(): void {
    this.thread.tell({ type: 'discard', id: this.#id });
  }
}

/**
 * Computes digests in a thread of their own, so that requests never wait for them. The thread starts with the first
 * digest, and again after it has failed; an idle one does not keep the process alive.
 *
 * What waits for a thread that fails or is stopped rejects with ServiceError INTERNAL or UNAVAILABLE.
 */
export class Hashing {
  #thread: Thread | undefined;

  /** @param script what the thread runs */
  constructor(private readonly script = new URL('./hash-worker.js', import.meta.url)) {}

  open(algorithms: readonly Algorithm[]): Hasher {
    return new ThreadHasher(this.#running(), algorithms);
  }

  /**
   * The digests of a file, which is read bit by bit between the bytes of the open hashers.
   * @param signal ends it with an error named AbortError, when the file is closed
   * @throws the system's errors, by their `code` (`ENOENT`, `EIO`, …)
   */
  async file(path: string, algorithms: readonly Algorithm[], signal?: AbortSignal): Promise<Digests> {
    const aborted = () => new DOMException('The digest of the file is not wanted any more', 'AbortError');
    if (signal?.aborted) throw aborted();
    const thread = this.#running();
    const id = thread.nextId();
    const abort = () => thread.tell({ type: 'discard', id });
    signal?.addEventListener('abort', abort);
    try {
      return await thread.ask({ type: 'file', id, algorithms, path });
    } catch (error) {
      throw signal?.aborted ? aborted() : error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Ends the thread, and with it whatever it is computing. */
  async stop(): Promise<void> {
    await this.#thread?.stop();
  }

  #running(): Thread {
    if (this.#thread === undefined || this.#thread.hasEnded) this.#thread = new Thread(this.script);
    return this.#thread;
  }
}
