import { type ChildProcess, fork } from 'node:child_process';
import type { SendHandle } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { messageOf, ServiceError } from '../errors.js';
import type { TlsTexts } from '../http/tls.js';
import type { Fact } from '../images/facts.js';
import type { Log } from '../log.js';
import type { Report } from '../observe/report.js';
import type { BoundPort } from './port.js';
import type { FromWorker, Question, ToDo, ToWorker, WorkerSettings, WorkerSetup } from './protocol.js';
import { Questions } from './questions.js';

const file = fileURLToPath(new URL('./worker.js', import.meta.url));

/** Milliseconds to load the program, and to look into the folders. */
const startTimeout = 30_000;

export interface WorkerOptions {
  readonly log: Log;
  /** Milliseconds that it has to answer: one that does not hangs, and is ended. */
  readonly patience: number;
  onEnd(how: string): void;
  /** Is given what it tells of its requests and of itself, once a second. */
  onReport(report: Report): void;
  /**
   * Does what a worker asks for; what it rejects with is told to the worker in words.
   * @param signal nobody wants it any more
   */
  answer(question: Question, signal: AbortSignal): Promise<void>;
}

/** A worker process, as the main process sees it. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #questions = new Questions();
  /** What it asks for and is not answered yet. */
  readonly #asked = new Map<number, AbortController>();
  /** Resolves when the process has gone. */
  readonly ended: Promise<void>;
  readonly since = new Date();
  #isOpen = false;
  #isEnded = false;
  #ready: ((outcome: { warning: string | undefined } | Error) => void) | undefined;
  #watch: NodeJS.Timeout | undefined;

  constructor(private readonly options: WorkerOptions) {
    this.#child = fork(file, [], {
      // Options of Node that are meant for the program itself, such as --inspect-brk, would stop or end a worker.
      execArgv: ['--max-semi-space-size=4'],
      // Its messages hold numbers of 64 bits, which JSON has not.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: FromWorker) => this.#receive(message));
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        this.#isEnded = true;
        clearInterval(this.#watch);
        this.#questions.end();
        for (const asked of this.#asked.values()) asked.abort();
        this.#ready?.(new ServiceError('INTERNAL', `A worker process ended at its start: ${how}`));
        resolve();
        this.options.onEnd(how);
      };
      this.#child.once('exit', (code, signal) => {
        const how = signal ?? `exit code ${code ?? 0}`;
        // What it has said at its end may come behind it.
        if (this.#child.connected) this.#child.once('disconnect', () => end(how));
        else end(how);
      });
      this.#child.once('error', (error) => this.#child.pid === undefined && end(error.message));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Whether it knows everything that it has to know to serve. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** From now on it serves, and is asked from time to time whether it still does: who hangs takes no connections. */
  open(): void {
    if (this.#isEnded) return;
    this.#isOpen = true;
    this.#watch = setInterval(() => void this.#ask({ type: 'ping' }), this.options.patience);
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
    return this.#ask({ type: 'tell', fact });
  }

  /** @returns why it cannot go by them, in words; undefined also when it has ended */
  change(settings: WorkerSettings): Promise<string | undefined> {
    return this.#ask({ type: 'settings', settings });
  }

  /** Has it take connections of a port. @returns why it cannot, in words; undefined also when it has ended */
  listen({ socket, name }: BoundPort, tls: TlsTexts | undefined): Promise<string | undefined> {
    // As Node's cluster module does it: the types know only what is made of such a socket.
    return this.#ask({ type: 'listen', name, tls }, socket as SendHandle);
  }

  /** Has a port prove itself by something else. @returns why it cannot, in words; undefined also when it has ended */
  renew({ name }: BoundPort, tls: TlsTexts): Promise<string | undefined> {
    return this.#ask({ type: 'renew', name, tls });
  }

  /** Lets its requests in flight go on for so many milliseconds; resolves when it has ended. */
  async stop(timeout: number): Promise<void> {
    clearInterval(this.#watch);
    this.#send({ type: 'stop', timeout });
    const hangs = setTimeout(() => this.kill(), timeout + this.options.patience);
    await this.ended;
    clearTimeout(hangs);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async #ask(what: ToDo, handle?: SendHandle): Promise<string | undefined> {
    const hangs = this.#expectAnswer();
    const failure = await this.#questions.ask((ask) => this.#send({ type: 'do', ask, what }, handle));
    clearTimeout(hangs);
    return failure;
  }

  /** A worker that does not answer in time is ended. */
  #expectAnswer(milliseconds = this.options.patience): NodeJS.Timeout {
    return setTimeout(() => this.kill(), milliseconds);
  }

  #send(message: ToWorker, handle?: SendHandle): void {
    // That it has ended is told by its exit.
    if (this.#child.connected) this.#child.send(message, handle, () => undefined);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        this.#ready?.({ warning: message.warning });
        break;
      case 'failed':
        this.#ready?.(new ServiceError('BAD_REQUEST', message.message));
        break;
      case 'answer':
        this.#questions.answer(message.ask, message.failure);
        break;
      case 'question':
        void this.#answer(message.ask, message.what);
        break;
      case 'withdraw':
        this.#asked.get(message.ask)?.abort();
        break;
      case 'report':
        this.options.onReport(message.report);
        break;
      case 'log':
        this.options.log[message.level](message.message);
        break;
    }
  }

  async #answer(ask: number, question: Question): Promise<void> {
    const asked = new AbortController();
    this.#asked.set(ask, asked);
    const failure = await this.options.answer(question, asked.signal).then(() => undefined, messageOf);
    this.#asked.delete(ask);
    this.#send({ type: 'answer', ask, failure });
  }
}
