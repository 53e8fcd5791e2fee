// The process that serves the machines' network: it holds no state but what the main process tells, and no privilege.
import { basename, dirname } from 'node:path';
import { messageOf } from '../errors.js';
import { type ClientPace, pieceOf, type Rates } from '../http/pace.js';
import { serveSockets } from '../http/server.js';
import { Credentials, type TlsTexts } from '../http/tls.js';
import type { Place } from '../images/facts.js';
import { KnownFiles } from '../images/known-files.js';
import { type Level, levels, type Log } from '../log.js';
import type { Report } from '../observe/report.js';
import { Reporter } from '../observe/reporter.js';
import { createSouthbound } from '../southbound/southbound.js';
import { createTrees, type ServedStore } from '../southbound/trees.js';
import { dropPrivileges } from './privileges.js';
import type { FromWorker, Question, ToDo, ToWorker, WorkerSettings, WorkerSetup } from './protocol.js';
import { Questions } from './questions.js';
import { ImageReplica } from './replica.js';

function send(message: FromWorker, sent: () => void = () => undefined): void {
  // Without a main process there is nobody to tell.
  if (process.connected) process.send?.(message, sent);
  else sent();
}

/** Asks the main process. @throws Error what went wrong there */
class MainProcess {
  readonly questions = new Questions();

  /** @param signal nothing is wanted of it any more */
  async ask(what: Question, signal?: AbortSignal): Promise<void> {
    let ask = 0;
    const withdraw = () => send({ type: 'withdraw', ask });
    const answered = this.questions.ask((number) => {
      ask = number;
      send({ type: 'question', ask, what });
    });
    signal?.addEventListener('abort', withdraw);
    const failure = await answered;
    signal?.removeEventListener('abort', withdraw);
    if (failure !== undefined) throw new Error(failure);
  }
}

/** The pace of a client is kept where all its connections are known. */
class SharedRates implements Rates {
  constructor(
    readonly settings: WorkerSettings,
    readonly main: MainProcess,
  ) {}

  paceOf(address: string): ClientPace | undefined {
    const { rateLimit } = this.settings;
    if (rateLimit === 0) return undefined;
    const released = new AbortController();
    const take = (bytes: number) => this.main.ask({ type: 'pace', address, bytes }, released.signal);
    return { bytes: pieceOf(rateLimit), take, release: () => released.abort() };
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
  readonly main = new MainProcess();
  readonly #images: ImageReplica;
  readonly #stores: Readonly<Record<Place, StoreReplica>>;
  readonly #server;
  /** As they are now. */
  readonly #settings: WorkerSettings;
  readonly #reporter: Reporter;
  #report: (report: Report) => void = (report) => send({ type: 'report', report });
  /** By the names of their ports. */
  readonly #credentials = new Map<string, Credentials>();

  constructor(setup: WorkerSetup) {
    const settings = { ...setup };
    const log = remoteLog(settings);
    this.#settings = settings;
    const storeAt = (place: Place) =>
      new StoreReplica(setup.stores[place], () => this.main.ask({ type: 'checksums', place }));
    this.#stores = { iso: storeAt('iso'), common: storeAt('common') };
    const { iso } = this.#stores;
    const trees = createTrees(setup.httpFileServiceRootDir, setup.inventoryFile, this.#stores);
    this.#images = new ImageReplica(log, trees.common, (path, opened) =>
      dirname(path) === iso.folder ? iso.digestOf(basename(path), opened) : undefined,
    );
    const { httpTimeout, maxConnections } = setup;
    const southbound = createSouthbound({
      images: this.#images,
      ...trees,
      get wait() {
        return settings.southboundWait;
      },
      get allow() {
        return settings.southboundAllow;
      },
      ...{ apiRoot: setup.apiRoot, chunkCache: setup.chunkCache, boot: settings },
      rates: new SharedRates(settings, this.main),
    });
    const hasLines = () => settings.minLogLevel <= levels.indexOf('info');
    this.#reporter = new Reporter({ hasLines, send: (report) => this.#report(report) });
    this.#reporter.start();
    const { watch } = this.#reporter;
    this.#server = serveSockets({ httpTimeout, maxConnections, applications: [southbound], log, watch });
  }

  /** @throws Error when it cannot */
  async do(what: ToDo, socket: unknown): Promise<void> {
    switch (what.type) {
      case 'tell':
        if (what.fact.kind === 'image') await this.#images.set(what.fact.key, what.fact.value);
        else this.#stores[what.fact.place].set(what.fact.key, what.fact.value);
        break;
      case 'settings':
        Object.assign(this.#settings, what.settings);
        break;
      case 'listen':
        await this.#server.listen(socket, what.tls && this.#credentialsOf(what.name, what.tls));
        break;
      case 'renew':
        this.#credentials.get(what.name)?.renew(what.tls);
        break;
      case 'ping':
        break;
    }
  }

  #credentialsOf(name: string, tls: TlsTexts): Credentials {
    const credentials = new Credentials(tls);
    this.#credentials.set(name, credentials);
    return credentials;
  }

  async stop(timeout: number): Promise<void> {
    const stopped = this.#server.stop(timeout);
    this.#images.hurry();
    await stopped;
    await this.#images.stop();
    await this.report();
  }

  /** Ends with a last report; resolves when it is out. */
  report(): Promise<void> {
    return new Promise((resolve) => {
      this.#report = (report) => send({ type: 'report', report }, resolve);
      this.#reporter.stop();
    });
  }
}

/** Milliseconds for requests in flight when the main process has gone. */
const orphanTimeout = 10_000;

/** A log that the main process writes. Lines below the level are not even sent. */
function remoteLog(settings: WorkerSettings): Log {
  const at = (level: Level) => (message: string) => {
    if (levels.indexOf(level) >= settings.minLogLevel) send({ type: 'log', level, message });
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

  receive(message: ToWorker, handle: unknown): void {
    switch (message.type) {
      case 'start':
        void this.#start(message.setup);
        break;
      case 'do':
        void this.#do(message.ask, message.what, handle);
        break;
      case 'answer':
        this.#worker?.main.questions.answer(message.ask, message.failure);
        break;
      case 'stop':
        this.#timeout = message.timeout;
        void this.stop();
        break;
    }
  }

  /** Says what it knows, as it is about to end. */
  report(): void {
    void this.#worker?.report();
  }

  /** The main process has gone: it answers nothing any more, tells nothing, and opens no ports. */
  async end(): Promise<void> {
    this.#worker?.main.questions.end();
    await this.stop();
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
      this.#worker = new Worker(setup);
      send({ type: 'ready', warning });
    } catch (error) {
      send({ type: 'failed', message: messageOf(error) });
    }
  }

  async #do(ask: number, what: ToDo, handle: unknown): Promise<void> {
    try {
      await this.#worker?.do(what, handle);
      send({ type: 'answer', ask });
    } catch (error) {
      send({ type: 'answer', ask, failure: messageOf(error) });
    }
  }
}

function run(): void {
  const conversation = new Conversation();
  process.on('message', (message: ToWorker, handle: unknown) => conversation.receive(message, handle));
  process.on('disconnect', () => void conversation.end());
  // What ends or changes the service is told to the main process, which then tells us.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('uncaughtException', (error) => {
    conversation.report();
    const message = `worker: uncaught: ${error.stack ?? error.message}`;
    process.send?.({ type: 'log', level: 'critical', message } satisfies FromWorker, () => process.exit(1));
    if (!process.connected) process.exit(1);
  });
}

run();
