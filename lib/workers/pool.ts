import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, ServiceError } from '../errors.js';
import { backlog } from '../http/server.js';
import type { Fact } from '../images/facts.js';
import type { Log } from '../log.js';
import type { Place } from '../images/facts.js';
import type { WorkerSetup } from './protocol.js';
import { WorkerProcess } from './worker-process.js';

export interface PoolOptions {
  readonly log: Log;
  /** Milliseconds that a worker has to answer. */
  readonly patience?: number;
  /** Brings the list of digests of a store up to date. */
  checksums(place: Place): Promise<void>;
}

/** Milliseconds: a worker that has lived as long did not die of its start. */
const steady = 10_000;
/** Milliseconds: to read an ISO that has just been added takes some. */
const usualPatience = 15_000;
/** Milliseconds before a worker is started again that died at once, and at the most after many times. */
const shortestPause = 100;
const longestPause = 5000;

/** A port whose connections the workers serve. */
export interface SharedPort {
  readonly address: string;
  readonly port: number;
  /** Closes it; connections that are open stay. */
  stop(): Promise<void>;
}

/**
 * The worker processes. This process accepts the connections and hands each one to the worker that has the fewest: so
 * the ports stay open whatever happens to the workers, and none of them needs the right to open one.
 */
export class WorkerPool {
  readonly #workers = new Set<WorkerProcess>();
  readonly #starting = new Set<WorkerProcess>();
  readonly #facts = new Map<string, Fact>();
  readonly #waiting = new Set<Socket>();
  #isPinned = false;
  /** With which a worker is started again. */
  #setup: WorkerSetup | undefined;
  /** Workers in a row that ended soon after their start. */
  #shortLived = 0;
  #maxWaiting = 0;
  readonly #stopping = new AbortController();

  constructor(private readonly options: PoolOptions) {}

  /**
   * Starts so many workers.
   * @throws ServiceError BAD_REQUEST, INTERNAL when they cannot start
   */
  async start(count: number, setup: WorkerSetup): Promise<void> {
    this.#isPinned = setup.rateLimit > 0;
    // A worker serves so many, and lets as many wait.
    this.#maxWaiting = 2 * count * setup.maxConnections;
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

  /**
   * Opens a port.
   * @param port 0 takes any free one
   * @throws ServiceError BAD_REQUEST when the address cannot be listened on
   */
  async listen(address: string, port: number): Promise<SharedPort> {
    const server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket));
    server.maxConnections = this.#maxWaiting;
    server.listen({ port, host: address, backlog });
    try {
      await once(server, 'listening');
    } catch (error) {
      const message = `Cannot listen on ${address} port ${port}: ${messageOf(error)}`;
      throw new ServiceError('BAD_REQUEST', message, { cause: error });
    }
    server.on('error', (error) => this.options.log.error(`server: ${error.message}`));
    const bound = server.address() as AddressInfo;
    const stop = () => {
      // Its connections are the workers' by now, and are not waited for here.
      server.close();
      return Promise.resolve();
    };
    return { address: bound.address, port: bound.port, stop };
  }

  /** Lets requests in flight go on for so many milliseconds, and ends the workers. */
  async stop(timeout: number): Promise<void> {
    this.#stopping.abort();
    for (const socket of this.#waiting) socket.destroy();
    this.#waiting.clear();
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
      onFree: () => this.#pump(),
      checksums: (place) => this.options.checksums(place),
      onEnd: (how, unserved) => {
        if (unserved !== undefined) this.#dispatch(unserved);
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
      // One after the other, each with its own time; the map shows what has changed meanwhile.
      for (const fact of this.#facts.values()) {
        const failure = await worker.tell(fact);
        if (failure !== undefined) log.error(`a worker: ${failure}`);
      }
      worker.open();
      this.#pump();
      return warning;
    } catch (error) {
      worker.kill();
      throw error;
    } finally {
      this.#starting.delete(worker);
    }
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

  #accept(socket: Socket): void {
    // While it waits, its client may reset it.
    socket.on('error', () => undefined).on('close', () => this.#waiting.delete(socket));
    this.#dispatch(socket);
  }

  #dispatch(socket: Socket): void {
    if (this.#stopping.signal.aborted) {
      socket.destroy();
      return;
    }
    this.#waiting.add(socket);
    this.#pump();
  }

  #pump(): void {
    for (const socket of this.#waiting) {
      const worker = this.#isPinned ? this.#ownOf(socket) : this.#freest();
      if (!this.#isPinned && worker === undefined) return;
      if (worker?.isFree !== true) continue;
      this.#waiting.delete(socket);
      worker.give(socket);
    }
  }

  /** One client, one worker: what each client gets is counted there. */
  #ownOf({ remoteAddress = '' }: Socket): WorkerProcess | undefined {
    const sum = Buffer.from(remoteAddress).reduce((hash, byte) => (hash * 31 + byte) % 65_521, 0);
    const workers = [...this.#workers];
    return workers[sum % workers.length];
  }

  #freest(): WorkerProcess | undefined {
    const free = [...this.#workers].filter(({ isFree }) => isFree);
    return free.sort((a, b) => a.connections - b.connections)[0];
  }
}
