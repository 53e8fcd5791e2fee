import type { Config } from './config.js';
import type { Rates } from './http/pace.js';
import type { Place } from './images/facts.js';
import type { Hashing } from './images/hashing.js';
import type { KnownFile } from './images/known-files.js';
import type { Store } from './images/store.js';
import type { Log } from './log.js';
import { workerCount } from './service-endpoints.js';
import type { ServiceEvents } from './service-events.js';
import { bySetting } from './service-locks.js';
import type { Observation } from './service-observation.js';
import { workerSettings } from './service-settings.js';
import { WorkerPool } from './workers/pool.js';
import type { Question, WorkerSetup } from './workers/protocol.js';

/** The stores, by their places in the southbound URL space. */
export type Stores = Readonly<Record<Place, Store>>;

function setupOf(config: Config, count: number, { iso, common }: Stores): WorkerSetup {
  const { httpFileServiceRootDir, isoDir, microkernelDir, inventoryFile } = config;
  const { httpTimeout, maxConnections, user } = config;
  return {
    ...workerSettings(config),
    ...{ httpTimeout, maxConnections, user },
    ...{ inventoryFile, httpFileServiceRootDir },
    apiRoot: config.httpFileServiceApiRoot,
    chunkCache: Math.floor(config.chunkCache / count),
    stores: { iso: iso.folder, common: common.folder },
    folders: { httpFileServiceRootDir, isoDir, microkernelDir },
  };
}

/** Does what a worker process asks for. @param signal nobody wants it any more */
async function answer(
  question: Question,
  signal: AbortSignal,
  { stores, rates }: { readonly stores: Stores; readonly rates: Rates },
): Promise<void> {
  if (question.type === 'checksums') return stores[question.place].checksums();
  const pace = rates.paceOf(question.address);
  // What somebody waits for who has left would be missing for all others of the address.
  signal.addEventListener('abort', () => pace?.release());
  await pace?.take(question.bytes);
  pace?.release();
}

async function openBoth(open: (place: Place, key: 'isoDir' | 'microkernelDir') => Promise<Store>): Promise<Stores> {
  const iso = await open('iso', 'isoDir');
  try {
    return { iso, common: await open('common', 'microkernelDir') };
  } catch (error) {
    await iso.stop();
    throw error;
  }
}

/** What the stores and the workers need of the service. */
export interface StoreParts {
  readonly log: Log;
  readonly hashing: Hashing;
  readonly rates: Rates;
  readonly events: ServiceEvents;
  readonly observation: Observation;
}

/** Opens the stores, and has the worker processes started that know what those know. */
export async function openStores(
  config: Config,
  { log, hashing, rates, events, observation }: StoreParts,
): Promise<[Stores, WorkerPool | undefined]> {
  const count = workerCount(config);
  const pool =
    count === 0
      ? undefined
      : new WorkerPool({
          ...{ log, onReport: observation.report },
          answer: (question, signal) => answer(question, signal, { stores, rates }),
        });
  const open = (place: Place, key: 'isoDir' | 'microkernelDir') => {
    const tell = (name: string, value: KnownFile | undefined) =>
      pool?.tell({ kind: 'file', place, key: name, value }) ?? Promise.resolve(undefined);
    const options = { log, hashing, keptFor: () => config.uploadTtl, tell, received: observation.received(place) };
    return bySetting(key, config[key], (path) => events.openStore(place, path, options));
  };
  const stores = await openBoth(open);
  try {
    await pool?.start(count, setupOf(config, count, stores));
    return [stores, pool];
  } catch (error) {
    await Promise.all([stores.iso.stop(), stores.common.stop()]);
    throw error;
  }
}
