import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../errors.js';
import type { Credentials } from '../http/tls.js';
import type { Fact } from '../images/facts.js';
import type { Log } from '../log.js';
import type { Report } from '../observe/report.js';
import { bindPort, type BoundPort, cannotListen } from './port.js';
import type { Question, WorkerSettings, WorkerSetup } from './protocol.js';
import { WorkerProcess } from './worker-process.js';

export interface PoolOptions {
  readonly log: Log;
  /** Milliseconds that a worker has to answer. */
  readonly patience?: number;
  /** Is given what each worker tells of its requests and of itself, once a second. */
  readonly onReport?: (pid: number, report: Report) => void;
  /** Does what a worker asks for. @param signal nobody wants it any more */
  answer(question: Question, signal: AbortSignal): Promise<void>;
}

/** Milliseconds: a worker that has lived as long did not die of its start. */
const steady = 10_000;
/** Milliseconds: to read an ISO that has just been added takes some. */
const usualPatience = 15_000;
/** Milliseconds before a worker is started again that died at once, and at the most after many times. */
const shortestPause = 100;
const longestPause = 5000;
/** How often a port is tried again that is taken, and after how many milliseconds each. */
const maxTries = 10;
const pauseOfTries = 100;

/** A port whose connections the workers serve. */
export interface SharedPort {
  readonly address: string;
  readonly port: number;
  /** Closes it; connections that are open stay. */
  stop(): Promise<void>;
}

/**
 * The worker processes. This process opens the ports, and each worker takes connections of all of them: so none of them
 * needs the right to open one, and whatever happens to them, who connects is served by the next one.
 */
export class WorkerPool {
  readonly #workers = new Set<WorkerProcess>();
  readonly #starting = new Set<WorkerProcess>();
  readonly #facts = new Map<string, Fact>();
  /** The ports, and what those prove themselves with that speak https. */
  readonly #ports = new Map<BoundPort, Credentials | undefined>();
  /** With which a worker is started again. */
  #setup: WorkerSetup | undefined;
  /** What has changed since. */
  #settings: WorkerSettings | undefined;
  /** Workers in a row that ended soon after their start. */
  #shortLived = 0;
  readonly #stopping = new AbortController();

  constructor(private readonly options: PoolOptions) {}

  /** Those that serve, by their process numbers, and since when. */
  get workers(): readonly Pick<WorkerProcess, 'pid' | 'since'>[] {
    return [...this.#workers].filter(({ isOpen }) => isOpen);
  }

  /**
   * Starts so many workers.
   * @throws ServiceError BAD_REQUEST, INTERNAL when they cannot start
   */
  async start(count: number, setup: WorkerSetup): Promise<void> {
    // One that ends at the start is started again, too.
    this.#setup = setup;
    try {
      const warnings = await Promise.all(Array.from({ length: count }, () => this.#start(setup)));
      const [warning] = warnings.filter((words) => words !== undefined);
      if (warning !== undefined) this.options.log.warning(`the worker processes stay root: ${warning}`);
      // What a user could read once is no reason to stay root later.
      this.#setup = warning === undefined ? { ...setup, folders: {} } : setup;
    } catch (error) {
      await this.stop(0);
      throw error;
    }
  }

  /** `Tell` of the images and the stores. */
  async tell(fact: Fact): Promise<string | undefined> {
    const key = fact.kind === 'image' ? `image ${fact.key}` : `file ${fact.place}/${fact.key}`;
    if (fact.value === undefined) this.#facts.delete(key);
    else this.#facts.set(key, fact);
    const failures = await Promise.all([...this.#workers].map((worker) => worker.tell(fact)));
    return failures.find((failure) => failure !== undefined);
  }

  /** Has all workers, also those that are started later, go by other settings. */
  async change(settings: WorkerSettings): Promise<void> {
    this.#settings = settings;
    await Promise.all([...this.#workers].map((worker) => worker.change(settings)));
  }

  /**
   * Opens a port.
   * @param port 0 takes any free one
   * @param credentials where it speaks https
   * @throws ServiceError BAD_REQUEST when the address cannot be listened on
   */
  async listen(address: string, port: number, credentials?: Credentials): Promise<SharedPort> {
    for (let left = maxTries; ; left--) {
      try {
        return await this.#listen(await bindPort(address, port), credentials);
      } catch (error) {
        if (left === 0 || !messageOf(error).includes('EADDRINUSE')) throw error;
        // Workers of a service that was killed close its ports as soon as they notice.
        await delay(pauseOfTries);
      }
    }
  }

  /** Whether at least one worker serves. */
  get isServing(): boolean {
    return [...this.#workers].some(({ isOpen }) => isOpen);
  }

  /** Lets requests in flight go on for so many milliseconds, and ends the workers. */
  async stop(timeout: number): Promise<void> {
    this.#stopping.abort();
    for (const worker of this.#starting) worker.kill();
    const starting = [...this.#starting].map(({ ended }) => ended);
    await Promise.all([...starting, ...[...this.#workers].map((worker) => worker.stop(timeout))]);
  }

  /** @returns why it is root still, in words */
  async #start(setup: WorkerSetup): Promise<string | undefined> {
    const { log, patience = usualPatience } = this.options;
    const began = Date.now();
    const worker: WorkerProcess = new WorkerProcess({
      ...{ log, patience },
      answer: (question, signal) => this.options.answer(question, signal),
      onReport: (report) => this.options.onReport?.(worker.pid, report),
      onEnd: (how) => {
        if (!this.#workers.delete(worker) || this.#stopping.signal.aborted) return;
        log.error(`a worker process ended (${how}) and is started again`);
        this.#shortLived = Date.now() - began < steady ? this.#shortLived + 1 : 0;
        void this.#restart();
      },
    });
    this.#starting.add(worker);
    try {
      const warning = await worker.start(setup);
      // What is told from now on reaches it behind what is known already.
      this.#workers.add(worker);
      if (this.#settings !== undefined) await worker.change(this.#settings);
      // One after the other, each with its own time; the map shows what has changed meanwhile.
      for (const fact of this.#facts.values()) this.#note(await worker.tell(fact));
      worker.open();
      for (const [port, credentials] of this.#ports) this.#note(await worker.listen(port, credentials?.texts));
      return warning;
    } catch (error) {
      worker.kill();
      throw error;
    } finally {
      this.#starting.delete(worker);
    }
  }

  async #listen(bound: BoundPort, credentials: Credentials | undefined): Promise<SharedPort> {
    const { address, port } = bound;
    this.#ports.set(bound, credentials);
    const endRenewal = credentials?.onRenewal((tls) => {
      // Whoever is not open yet is going to listen with the new ones.
      for (const worker of this.#open) void worker.renew(bound, tls).then((failure) => this.#note(failure));
    });
    const stop = () => {
      this.#ports.delete(bound);
      endRenewal?.();
      bound.close();
      return Promise.resolve();
    };
    const listening = this.#open.map((worker) => worker.listen(bound, credentials?.texts));
    const failure = (await Promise.all(listening)).find((words) => words !== undefined);
    if (failure === undefined) return { address, port, stop };
    await stop();
    throw cannotListen(address, port, failure);
  }

  get #open(): WorkerProcess[] {
    return [...this.#workers].filter(({ isOpen }) => isOpen);
  }

  #note(failure: string | undefined): void {
    if (failure !== undefined) this.options.log.error(`a worker: ${failure}`);
  }

  async #restart(): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.options;
    for (;;) {
      const pause = this.#shortLived === 0 ? 0 : shortestPause * 2 ** Math.min(this.#shortLived - 1, 10);
      await delay(Math.min(pause, longestPause), undefined, { signal }).catch(() => undefined);
      if (signal.aborted || this.#setup === undefined) return;
      try {
        const warning = await this.#start(this.#setup);
        if (warning !== undefined) log.warning(`a worker process stays root: ${warning}`);
        return;
      } catch (error) {
        if (this.#isStopping()) return;
        this.#shortLived++;
        log.error(`a worker process could not be started: ${messageOf(error)}`);
      }
    }
  }

  // A method, as it changes while a function waits, which TypeScript would not believe of the signal.
  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }
}
