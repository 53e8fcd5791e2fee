import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.js';
import type { Log } from './log.js';
import { Slots } from './slots.js';
import type { WorkerSettings } from './workers/protocol.js';

/** Puts what was made ready in force. Does not fail. */
export type TakeOver = () => unknown;

/**
 * Makes a part of the service ready for other settings.
 * @param next what will be in force
 * @throws ServiceError BAD_REQUEST: then no part takes anything over
 */
export type Prepare = (next: Config) => Promise<TakeOver> | TakeOver;

/** What is in force after a reload: everything that is not named here waits for a restart. */
function withoutRestart(now: Config, next: Config): Config {
  const { minLogLevel, logFormat, logFile, isoLocalDirs, isoWebHosts, tlsCaFile, corsOrigins } = next;
  const { systemsFile, publicUrl, bootDefault, bootTimeout } = next;
  const { southboundAllow, southboundWait, rateLimit, downloads, uploadTtl, maxUploadBytes, minFreeBytes } = next;
  return {
    ...now,
    ...{ minLogLevel, logFormat, logFile, isoLocalDirs, isoWebHosts, tlsCaFile, corsOrigins },
    ...{ systemsFile, publicUrl, bootDefault, bootTimeout },
    ...{ southboundAllow, southboundWait, rateLimit, downloads, uploadTtl, maxUploadBytes, minFreeBytes },
    stopTimeout: next.stopTimeout,
  };
}

/** Values by key, those of `mount` by `mount.` and their own. */
function flat({ mount, ...single }: Config): ReadonlyMap<string, unknown> {
  const group = Object.entries(mount).map(([name, value]): [string, unknown] => [`mount.${name}`, value]);
  return new Map([...Object.entries(single), ...group]);
}

/** Keys whose values differ. */
function differing(one: Config, other: Config): string[] {
  const values = flat(other);
  return [...flat(one)].filter(([key, value]) => !isDeepStrictEqual(value, values.get(key))).map(([key]) => key);
}

/** What a reload has done, by keys. */
export interface Reloaded {
  /** Those that have another value now. */
  readonly changed: readonly string[];
  /** Those that take effect after a restart. */
  readonly waiting: readonly string[];
}

/** The settings of a running service, some of which can change. */
export class Settings {
  readonly #inForce: Config;
  readonly #preparations: Prepare[] = [];
  /** One reload after the other. */
  readonly #turns = new Slots(1);

  constructor(config: Config) {
    this.#inForce = { ...config };
  }

  /**
   * What is in force, always: one object, whose members change. Whoever reads a member when it is needed, rather than keep
   * a copy, follows by itself; others say `onReload`.
   */
  get config(): Config {
    return this.#inForce;
  }

  /** Has a part take part in every reload, also when nothing differs: files that settings name may have changed. */
  onReload(prepare: Prepare): void {
    this.#preparations.push(prepare);
  }

  /**
   * Puts another configuration in force, as far as that goes without a restart.
   * @throws ServiceError BAD_REQUEST when a part cannot take it over: then nothing has changed
   */
  reload(config: Config): Promise<Reloaded> {
    return this.#turns.run(async () => {
      const next = withoutRestart(this.#inForce, config);
      const ready = await Promise.all(this.#preparations.map(async (prepare) => prepare(next)));
      const changed = differing(this.#inForce, next);
      Object.assign(this.#inForce, next);
      for (const takeOver of ready) await takeOver();
      return { changed, waiting: differing(next, config) };
    });
  }
}

/** Says what a reload has done. @returns the keys that take effect after a restart */
export function logReload({ changed, waiting }: Reloaded, log: Log): readonly string[] {
  log.info(`the configuration was read again; ${changed.length === 0 ? 'nothing' : changed.join(', ')} changed`);
  for (const key of waiting) log.warning(`${key}: takes effect after a restart`);
  return waiting;
}

/** What the worker processes go by that can change. */
export function workerSettings(config: Config): WorkerSettings {
  const { minLogLevel, southboundWait, southboundAllow, rateLimit, publicUrl, bootDefault, bootTimeout } = config;
  return { minLogLevel, southboundWait, southboundAllow, rateLimit, publicUrl, bootDefault, bootTimeout };
}
