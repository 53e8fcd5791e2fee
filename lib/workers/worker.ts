// The process that serves the machines' network: it holds no state but what the main process tells, and no privilege.
import { Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { messageOf } from '../errors.js';
import { serveConnections } from '../http/server.js';
import type { Fact, Place } from '../images/facts.js';
import { KnownFiles } from '../images/known-files.js';
import { type Level, levels, type Log } from '../log.js';
import { createSouthbound } from '../southbound/southbound.js';
import { createTrees, type ServedStore } from '../southbound/trees.js';
import { dropPrivileges } from './privileges.js';
import type { FromWorker, ToWorker, WorkerSetup } from './protocol.js';
import { ImageReplica } from './replica.js';

function send(message: FromWorker): void {
  // Without a main process there is nobody to tell.
  if (process.connected) process.send?.(message, () => undefined);
}

/** Questions to the main process that are not answered yet. */
class Questions {
  readonly #waiting = new Map<number, (failure: string | undefined) => void>();
  #last = 0;

  checksums(place: Place): Promise<void> {
    const ask = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ask, (failure) => (failure === undefined ? resolve() : reject(new Error(failure))));
      send({ type: 'checksums', ask, place });
    });
  }

  answer(ask: number, failure: string | undefined): void {
    this.#waiting.get(ask)?.(failure);
    this.#waiting.delete(ask);
  }
}

class StoreReplica extends KnownFiles implements ServedStore {
  constructor(
    readonly folder: string,
    readonly checksums: () => Promise<void>,
  ) {
    super();
  }
}

class Worker {
  readonly #questions = new Questions();
  readonly #images: ImageReplica;
  readonly #stores: Readonly<Record<Place, StoreReplica>>;
  readonly #server;
  #closed = 0;

  constructor(setup: WorkerSetup, log: Log) {
    const storeAt = (place: Place) => new StoreReplica(setup.stores[place], () => this.#questions.checksums(place));
    this.#stores = { iso: storeAt('iso'), common: storeAt('common') };
    const { iso } = this.#stores;
    this.#images = new ImageReplica(log, (path, opened) =>
      dirname(path) === iso.folder ? iso.digestOf(basename(path), opened) : undefined,
    );
    const southbound = createSouthbound({
      images: this.#images,
      ...createTrees(setup.httpFileServiceRootDir, setup.inventoryFile, this.#stores),
      wait: setup.southboundWait,
      ...{ apiRoot: setup.apiRoot, chunkCache: setup.chunkCache, rateLimit: setup.rateLimit },
    });
    const { httpTimeout, maxConnections } = setup;
    this.#server = serveConnections({ httpTimeout, maxConnections, applications: [southbound], log });
  }

  accept(socket: Socket): void {
    socket.once('close', () => {
      // Many at once are told at once.
      if (this.#closed++ === 0) setImmediate(() => this.#tellClosed());
    });
    this.#server.accept(socket);
  }

  #tellClosed(): void {
    send({ type: 'closed', count: this.#closed });
    this.#closed = 0;
  }

  async tell(ask: number, fact: Fact): Promise<void> {
    try {
      if (fact.kind === 'image') await this.#images.set(fact.key, fact.value);
      else this.#stores[fact.place].set(fact.key, fact.value);
      send({ type: 'told', ask });
    } catch (error) {
      send({ type: 'told', ask, failure: messageOf(error) });
    }
  }

  answer(ask: number, failure: string | undefined): void {
    this.#questions.answer(ask, failure);
  }

  async stop(timeout: number): Promise<void> {
    const stopped = this.#server.stop(timeout);
    this.#images.hurry();
    await stopped;
    await this.#images.stop();
  }
}

/** Milliseconds for requests in flight when the main process has gone. */
const orphanTimeout = 10_000;

/** A log that the main process writes. Lines below the level are not even sent. */
function remoteLog(minLevel: number): Log {
  const at = (level: Level) => (message: string) => {
    if (levels.indexOf(level) >= minLevel) send({ type: 'log', level, message });
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warning: at('warning'),
    error: at('error'),
    critical: at('critical'),
  };
}

/** What the main process says, one message after the other. */
class Conversation {
  #worker: Worker | undefined;
  #timeout = orphanTimeout;
  #isStopping = false;

  receive(message: ToWorker, socket: unknown): void {
    switch (message.type) {
      case 'start':
        void this.#start(message.setup);
        break;
      case 'tell':
        void this.#worker?.tell(message.ask, message.fact);
        break;
      case 'checksums':
        this.#worker?.answer(message.ask, message.failure);
        break;
      case 'connection':
        this.#accept(socket);
        break;
      case 'stop':
        this.#timeout = message.timeout;
        void this.stop();
        break;
    }
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    await this.#worker?.stop(this.#timeout);
    process.exit(0);
  }

  async #start(setup: WorkerSetup): Promise<void> {
    try {
      const warning = await dropPrivileges(setup.user, setup.folders);
      this.#worker = new Worker(setup, remoteLog(setup.minLogLevel));
      send({ type: 'ready', warning });
    } catch (error) {
      send({ type: 'failed', message: messageOf(error) });
    }
  }

  #accept(socket: unknown): void {
    send({ type: 'accepted' });
    // It can have been closed on its way.
    if (socket instanceof Socket) this.#worker?.accept(socket);
    else send({ type: 'closed', count: 1 });
  }
}

function run(): void {
  const conversation = new Conversation();
  process.on('message', (message: ToWorker, socket: unknown) => conversation.receive(message, socket));
  // Without the main process nobody hands over connections, and nobody tells what changes.
  process.on('disconnect', () => void conversation.stop());
  // What ends the service is told to the main process, which then tells us.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);
  process.on('uncaughtException', (error) => {
    const message = `worker: uncaught: ${error.stack ?? error.message}`;
    process.send?.({ type: 'log', level: 'critical', message } satisfies FromWorker, () => process.exit(1));
    if (!process.connected) process.exit(1);
  });
}

run();
