import { realpath } from 'node:fs/promises';
import type { Config } from './config.js';
import type { Endpoint } from './config-keys.js';
import { ServiceError, ifThere, messageOf } from './errors.js';
import { readAuthorities } from './images/download-authorities.js';
import { RateLimit } from './http/pace.js';
import { Hashing } from './images/hashing.js';
import { Images } from './images/images.js';
import { Inventory } from './images/inventory.js';
import { lock } from './images/lock.js';
import type { KnownFile } from './images/known-files.js';
import { Store } from './images/store.js';
import type { Log } from './log.js';
import { openDriver } from './mount/drivers.js';
import { createNorthbound } from './northbound/northbound.js';
import { listenAll, workerCount } from './service-endpoints.js';
import { createSouthbound } from './southbound/southbound.js';
import { type Place, places } from './images/facts.js';
import { createTrees } from './southbound/trees.js';
import { WorkerPool } from './workers/pool.js';
import type { Question, WorkerSetup } from './workers/protocol.js';

/** A running service. */
export interface Service {
  /** Where each endpoint of the configuration listens, with the port that a 0 became. */
  readonly endpoints: readonly Endpoint[];
  /** Stops listening, lets requests in flight end (bounded by `stopTimeout`), ends downloads, and lets go of all files. */
  stop(): Promise<void>;
}

/** The stores, by their places in the southbound URL space. */
type Stores = Readonly<Record<Place, Store>>;

/** Where the service keeps what it must have for itself, by the setting that says so. */
function statePlaces({ inventoryFile, isoDir, microkernelDir, mount }: Config) {
  // The direct driver mounts nothing: the usual folder may be another service's.
  const mounts = mount.driver === 'direct' ? {} : { 'mount.dir': mount.dir };
  return { inventoryFile, isoDir, microkernelDir, ...mounts };
}

/** Milliseconds that the far end of a download may be silent. */
const downloadIdleTimeout = 60_000;

/** Names that no image can have: places of the stores, and northbound routes, as both can be on one endpoint. */
const reservedNames: ReadonlySet<string> = new Set([...places, 'images', 'microkernel', 'status']);

async function openMountDriver({ mount }: Config, inventory: Inventory, isoStore: Store, log: Log) {
  // A loop device tells of a file by its path: in the store, or where a link of the store leads.
  const isOurs = (path: string) =>
    path.startsWith(`${isoStore.folder}/`) || isoStore.leadsTo(path) || inventory.all().some(({ iso }) => iso === path);
  const options = { driver: mount.driver, mountDir: mount.dir, isOurs, log };
  if (mount.driver !== 'direct') return openDriver(options);
  // Mounts of an earlier run, with another driver, are taken away; those of a service that runs are its own.
  const release = await lockPlace(mount.dir).catch(() => undefined);
  try {
    return await openDriver({ ...options, isShared: release === undefined });
  } finally {
    release?.();
  }
}

/** Says which setting keeps the service from starting. */
async function bySetting<T>(key: string, path: string, operation: (path: string) => Promise<T>): Promise<T> {
  try {
    return await operation(path);
  } catch (error) {
    throw new ServiceError('BAD_REQUEST', `${key} ${JSON.stringify(path)}: ${messageOf(error)}`, { cause: error });
  }
}

async function lockPlace(path: string): Promise<() => void> {
  return lock((await ifThere(realpath(path))) ?? path);
}

/** Makes sure that no other service works on the same files. */
async function lockState(config: Config): Promise<() => void> {
  const locks: (() => void)[] = [];
  const release = () => locks.forEach((unlock) => unlock());
  try {
    for (const [key, path] of Object.entries(statePlaces(config))) locks.push(await bySetting(key, path, lockPlace));
  } catch (error) {
    release();
    throw error;
  }
  return release;
}

/**
 * Starts the service: brings back every image of the inventory, then opens the ports.
 * @param version what the service says of itself
 * @throws ServiceError what keeps it from starting
 */
export async function startService(config: Config, version: string, log: Log): Promise<Service> {
  const release = await lockState(config);
  try {
    return await startLocked(config, version, log, release);
  } catch (error) {
    release();
    throw error;
  }
}

function setupOf(config: Config, count: number, { iso, common }: Stores): WorkerSetup {
  const { httpFileServiceRootDir, isoDir, microkernelDir, inventoryFile } = config;
  const { httpTimeout, maxConnections, rateLimit, southboundWait, minLogLevel, user } = config;
  return {
    ...{ httpTimeout, maxConnections, rateLimit, southboundWait, minLogLevel, user },
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
  { stores, rates }: { readonly stores: Stores; readonly rates: RateLimit | undefined },
): Promise<void> {
  if (question.type === 'checksums') return stores[question.place].checksums();
  const pace = rates?.paceOf(question.address);
  // What somebody waits for who has left would be missing for all others of the address.
  signal.addEventListener('abort', () => pace?.release());
  await pace?.take(question.bytes);
  pace?.release();
}

/** Opens the stores, and has the worker processes started that know what those know. */
async function openStores(
  config: Config,
  log: Log,
  hashing: Hashing,
  rates: RateLimit | undefined,
): Promise<[Stores, WorkerPool | undefined]> {
  const count = workerCount(config);
  const pool =
    count === 0
      ? undefined
      : new WorkerPool({ log, answer: (question, signal) => answer(question, signal, { stores, rates }) });
  const open = (place: Place, key: 'isoDir' | 'microkernelDir') => {
    const tell = (name: string, value: KnownFile | undefined) =>
      pool?.tell({ kind: 'file', place, key: name, value }) ?? Promise.resolve(undefined);
    const options = { log, hashing, keptFor: config.uploadTtl, tell };
    return bySetting(key, config[key], (path) => Store.open(path, options));
  };
  const stores: Stores = { iso: await open('iso', 'isoDir'), common: await open('common', 'microkernelDir') };
  await pool?.start(count, setupOf(config, count, stores));
  return [stores, pool];
}

async function startLocked(config: Config, version: string, log: Log, release: () => void): Promise<Service> {
  const inventory = await bySetting('inventoryFile', config.inventoryFile, (path) => Inventory.open(path, log));
  const hashing = new Hashing();
  const rates = config.rateLimit > 0 ? new RateLimit(config.rateLimit) : undefined;
  const [stores, pool] = await openStores(config, log, hashing, rates);
  try {
    return await startServing(config, { version, log, release, inventory, hashing, rates, stores, pool });
  } catch (error) {
    await pool?.stop(0);
    throw error;
  }
}

interface Parts {
  readonly version: string;
  readonly log: Log;
  readonly release: () => void;
  readonly inventory: Inventory;
  readonly hashing: Hashing;
  readonly rates: RateLimit | undefined;
  readonly stores: Stores;
  readonly pool: WorkerPool | undefined;
}

async function startServing(config: Config, parts: Parts): Promise<Service> {
  const { version, log, release, inventory, hashing, rates, stores, pool } = parts;
  const ca = config.tlsCaFile === undefined ? undefined : await readAuthorities(config.tlsCaFile);
  const mount = await openMountDriver(config, inventory, stores.iso, log);
  const images = await Images.restore({
    ...{ inventory, store: stores.iso, driver: mount.driver, hashing, log, reservedNames },
    maxEntries: config.mount.maxEntries,
    localFolders: config.isoLocalDirs,
    downloads: { idleTimeout: downloadIdleTimeout, hosts: config.isoWebHosts, ca },
    downloadSlots: config.downloads,
    ...(pool && { tell: (fact) => pool.tell(fact) }),
  });
  const close = async () => {
    await images.stop();
    await Promise.all([stores.iso.stop(), stores.common.stop()]);
    await hashing.stop();
    await inventory.settled();
  };
  const state = { ...mount, driver: mount.driver.name };
  const northbound = createNorthbound({
    ...{ images, isoStore: stores.iso, microkernelStore: stores.common, mount: state, version, log },
  });
  const southbound = createSouthbound({
    images,
    ...createTrees(config.httpFileServiceRootDir, inventory.file, stores),
    wait: config.southboundWait,
    apiRoot: config.httpFileServiceApiRoot,
    chunkCache: config.chunkCache,
    rates,
  });
  const opened = await listenAll(config, { northbound, southbound }, pool, log).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    endpoints: config.httpEndpoints.map((endpoint, index) => ({ ...endpoint, port: opened[index]?.port ?? 0 })),
    stop: async () => {
      const stopped = [...opened, ...(pool ? [pool] : [])].map((one) => one.stop(config.stopTimeout));
      images.hurry();
      await Promise.all(stopped);
      await close();
      release();
    },
  };
}
