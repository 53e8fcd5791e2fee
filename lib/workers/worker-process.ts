import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { ServiceError } from '../errors.js';
import type { Fact } from '../images/facts.js';
import type { Log } from '../log.js';
import type { Place } from '../images/facts.js';
import type { FromWorker, ToWorker, WorkerSetup } from './protocol.js';

const file = fileURLToPath(new URL('./worker.js', import.meta.url));

/** Milliseconds to load the program, and to look into the folders. */
const startTimeout = 30_000;

export interface WorkerOptions {
  readonly log: Log;
  /** Milliseconds that it has to answer: one that does not hangs, and is ended. */
  readonly patience: number;
  /** It can take another connection. */
  onFree(): void;
  /** @param unserved a connection that it was given and has not taken */
  onEnd(how: string, unserved: Socket | undefined): void;
  /** Brings the list of digests of a store up to date. */
  checksums(place: Place): Promise<void>;
}

/** A worker process, as the main process sees it. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, (failure: string | undefined) => void>();
  /** Resolves when the process has gone. */
  readonly ended: Promise<void>;
  #lastAsk = 0;
  #isOpen = false;
  #onItsWay: { readonly socket: Socket; readonly hangs: NodeJS.Timeout } | undefined;
  #connections = 0;
  #ready: ((outcome: { warning: string | undefined } | Error) => void) | undefined;

  constructor(private readonly options: WorkerOptions) {
    // Its messages hold numbers of 64 bits, which JSON has not.
    this.#child = fork(file, [], { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (message: FromWorker) => this.#receive(message));
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        for (const answer of this.#asked.values()) answer(undefined);
        this.#asked.clear();
        this.#ready?.(new ServiceError('INTERNAL', `A worker process ended at its start: ${how}`));
        resolve();
        this.options.onEnd(how, this.#arrived());
      };
      this.#child.once('exit', (code, signal) => {
        const how = signal ?? `exit code ${code ?? 0}`;
        // Its last messages may say that it has taken a connection.
        if (this.#child.connected) this.#child.once('disconnect', () => end(how));
        else end(how);
      });
      this.#child.once('error', (error) => this.#child.pid === undefined && end(error.message));
    });
  }

  /** Those that it has, and one that is on its way. */
  get connections(): number {
    return this.#connections;
  }

  /** Whether it can take a connection now. */
  get isFree(): boolean {
    return this.#isOpen && this.#onItsWay === undefined && this.#child.connected;
  }

  /** It knows everything that it has to know for its first connection. */
  open(): void {
    this.#isOpen = true;
  }

  /**
   * Has it begin.
   * @returns why it is root still, in words
   * @throws ServiceError BAD_REQUEST when it cannot, INTERNAL when it ends
   */
  async start(setup: WorkerSetup): Promise<string | undefined> {
    const hangs = this.#expectAnswer(startTimeout);
    const outcome = await new Promise<{ warning: string | undefined } | Error>((resolve) => {
      this.#ready = resolve;
      this.#send({ type: 'start', setup });
    });
    clearTimeout(hangs);
    this.#ready = undefined;
    if (outcome instanceof Error) throw outcome;
    return outcome.warning;
  }

  /** @returns why it cannot act by the fact, in words; undefined also when it has ended */
  tell(fact: Fact): Promise<string | undefined> {
    const ask = ++this.#lastAsk;
    return new Promise((resolve) => {
      const hangs = this.#expectAnswer();
      this.#asked.set(ask, (failure) => {
        clearTimeout(hangs);
        resolve(failure);
      });
      this.#send({ type: 'tell', ask, fact });
    });
  }

  /** Gives it a connection; call it only when it is free. */
  give(socket: Socket): void {
    // Without a free descriptor it never gets the connection, and never says so.
    this.#onItsWay = { socket, hangs: this.#expectAnswer() };
    this.#connections++;
    // Kept open here until the worker has it: should it end before, another one gets the connection.
    this.#child.send({ type: 'connection' } satisfies ToWorker, socket, { keepOpen: true }, () => undefined);
  }

  /** Lets its requests in flight go on for so many milliseconds; resolves when it has ended. */
  async stop(timeout: number): Promise<void> {
    this.#send({ type: 'stop', timeout });
    const hangs = setTimeout(() => this.kill(), timeout + this.options.patience);
    await this.ended;
    clearTimeout(hangs);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** A worker that does not answer in time is ended. */
  #expectAnswer(milliseconds = this.options.patience): NodeJS.Timeout {
    return setTimeout(() => this.kill(), milliseconds);
  }

  /** Ends the waiting for the connection that is on its way. */
  #arrived(): Socket | undefined {
    const onItsWay = this.#onItsWay;
    this.#onItsWay = undefined;
    clearTimeout(onItsWay?.hangs);
    return onItsWay?.socket;
  }

  #send(message: ToWorker): void {
    // That it has ended is told by its exit.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        this.#ready?.({ warning: message.warning });
        break;
      case 'failed':
        this.#ready?.(new ServiceError('BAD_REQUEST', message.message));
        break;
      case 'told':
        this.#asked.get(message.ask)?.(message.failure);
        this.#asked.delete(message.ask);
        break;
      case 'accepted':
        this.#arrived()?.destroy();
        this.options.onFree();
        break;
      case 'closed':
        this.#connections -= message.count;
        break;
      case 'checksums':
        void this.#checksums(message.ask, message.place);
        break;
      case 'log':
        this.options.log[message.level](message.message);
        break;
    }
  }

  async #checksums(ask: number, place: Place): Promise<void> {
    const failure = await this.options.checksums(place).then(
      () => undefined,
      () => 'The list of digests could not be made',
    );
    this.#send({ type: 'checksums', ask, ...(failure !== undefined && { failure }) });
  }
}
