import { resolve } from 'node:path';
import { type Config, type Environment, readConfig } from './config.js';
import type { Endpoint } from './config-keys.js';
import type { Settings } from './config-settings.js';
import { LogSwitch } from './log-switch.js';
import { type Service, startService } from './service.js';
import { openServiceLog, reloadAll } from './service-reload.js';
import { readVersion } from './service-version.js';
import { Slots } from './slots.js';

export type { Config, Environment } from './config.js';
export type { Endpoint, Router, TlsFiles } from './config-keys.js';
export type { EndpointSettings, Settings } from './config-settings.js';
export { type ErrorCode, ServiceError } from './errors.js';

/** What is no setting of the service itself. */
export interface ServiceOptions {
  /** Where relative paths of the settings begin; left out: the current folder at the time of the call. */
  readonly root?: string | undefined;
  /** Variables that go over the settings, such as `process.env`; left out: none. */
  readonly environment?: Environment | undefined;
  /** Receives each line of the log with its line feed; left out: nobody does. `minLogLevel` says which lines there are. */
  readonly log?: ((line: string) => void) | undefined;
}

/**
 * A service inside of another program. It installs no handlers of signals and never ends the process. Its functions may
 * be called in any order and at any time: each waits for those that were called before it.
 */
export interface ImageService {
  /** Where it listens, in the order of `httpEndpoints`, with the port that a 0 became; empty unless it runs. */
  readonly endpoints: readonly Endpoint[];
  /**
   * Brings back every image of the inventory, then opens the ports. Does nothing when it runs already.
   * @throws ServiceError what keeps it from starting; it can be tried again
   */
  start(): Promise<void>;
  /**
   * Puts other settings in force, all of them anew: what is left out has its default again.
   * @returns the keys that wait for the next `start`; none when it does not run, as then all do
   * @throws ServiceError BAD_REQUEST, a line for each thing that is wrong: then nothing has changed
   */
  reload(settings: Settings): Promise<readonly string[]>;
  /** Stops listening, lets requests in flight end (bounded by `stopTimeout`), and lets go of everything. */
  stop(): Promise<void>;
}

/** JSON as in the configuration file. What JSON has no word for is shown as text, for the message that refuses it. */
function textOf(settings: Settings): string {
  return JSON.stringify(settings, (_, value: unknown) => {
    const isSayable = typeof value !== 'number' || Number.isFinite(value);
    return isSayable && !['function', 'symbol', 'bigint'].includes(typeof value) ? value : String(value);
  });
}

/** A service that runs, and its log. */
interface Running {
  readonly service: Service;
  readonly log: LogSwitch;
}

class EmbeddedService implements ImageService {
  /** One call after the other. */
  readonly #turns = new Slots(1);
  readonly #write: (line: string) => void;
  #config: Config;
  #running: Running | undefined;

  constructor(
    settings: Settings,
    private readonly root: string,
    private readonly options: ServiceOptions,
  ) {
    this.#write = options.log ?? (() => undefined);
    this.#config = this.#read(settings);
  }

  get endpoints(): readonly Endpoint[] {
    return this.#running?.service.endpoints ?? [];
  }

  start(): Promise<void> {
    return this.#turns.run(async () => {
      this.#running ??= await this.#start();
    });
  }

  async reload(settings: Settings): Promise<readonly string[]> {
    const config = this.#read(settings);
    return this.#turns.run(async () => {
      const { service, log } = this.#running ?? {};
      const waiting = service && log && (await reloadAll(service, log, config, this.#write));
      this.#config = config;
      return waiting ?? [];
    });
  }

  stop(): Promise<void> {
    return this.#turns.run(async () => {
      const running = this.#running;
      this.#running = undefined;
      try {
        await running?.service.stop();
      } finally {
        await running?.log.close();
      }
    });
  }

  async #start(): Promise<Running> {
    const log = new LogSwitch(await openServiceLog(this.#config, this.#write));
    try {
      return { service: await startService(this.#config, await readVersion(), log), log };
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  #read(settings: Settings): Config {
    return readConfig(textOf(settings), this.root, this.options.environment ?? {}, 'settings');
  }
}

/**
 * A service of OS images, to be started by `start`. Any number of them can run in one process, on folders of their own.
 * @param settings what the configuration file may hold; what is left out has its default
 * @throws ServiceError BAD_REQUEST, a line for each setting that is unknown or not allowed
 */
export function createService(settings: Settings = {}, options: ServiceOptions = {}): ImageService {
  return new EmbeddedService(settings, resolve(options.root ?? ''), options);
}
