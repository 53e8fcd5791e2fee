import type { Config } from './config.js';
import type { Endpoint } from './config-keys.js';
import type { Application, Exchange } from './http/exchange.js';
import { ChangingRateLimit } from './http/pace.js';
import { Hashing } from './images/hashing.js';
import { Images } from './images/images.js';
import { Inventory } from './images/inventory.js';
import type { Log } from './log.js';
import type { Store } from './images/store.js';
import { openDriver } from './mount/drivers.js';
import type { MountDriver } from './mount/mount.js';
import { createNorthbound } from './northbound/northbound.js';
import { Certificates } from './service-certificates.js';
import { openAccess } from './service-access.js';
import { listenAll } from './service-endpoints.js';
import { openStores, type StoreParts, type Stores } from './service-stores.js';
import { bySetting, lockPlace, lockState } from './service-locks.js';
import { downloadPolicy, downloadSlots } from './service-downloads.js';
import { logReload, Settings, workerSettings } from './service-settings.js';
import { ServiceEvents } from './service-events.js';
import { Health } from './service-health.js';
import { Observation } from './service-observation.js';
import { fileServerUrl } from './service-urls.js';
import { openSignatures, type Systems } from './service-systems.js';
import { createSouthbound } from './southbound/southbound.js';
import { places } from './images/facts.js';
import { createTrees } from './southbound/trees.js';
import type { WorkerPool } from './workers/pool.js';

/** A running service. */
export interface Service {
  /** Where each endpoint of the configuration listens, with the port that a 0 became. */
  readonly endpoints: readonly Endpoint[];
  /**
   * Puts another configuration in force, as far as that goes without a restart, and logs what has changed.
   * @returns the keys that take effect after a restart
   * @throws ServiceError BAD_REQUEST when it cannot be in force: then nothing has changed
   */
  reload(config: Config): Promise<readonly string[]>;
  /** Stops listening, lets requests in flight end (bounded by `stopTimeout`), ends downloads, and lets go of all files. */
  stop(): Promise<void>;
}

/** Names that no image can have: places of the stores, and northbound routes, as both can be on one endpoint. */
const reservedNames: ReadonlySet<string> = new Set([
  ...places,
  ...['images', 'microkernel', 'status', 'healthz', 'readyz', 'events', 'metrics'],
]);

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

/**
 * Starts the service: brings back every image of the inventory, then opens the ports.
 * @param version what the service says of itself
 * @throws ServiceError what keeps it from starting
 */
export async function startService(config: Config, version: string, log: Log): Promise<Service> {
  const release = await lockState(config);
  try {
    return await startLocked(new Settings(config), version, log, release);
  } catch (error) {
    release();
    throw error;
  }
}

async function startLocked(settings: Settings, version: string, log: Log, release: () => void): Promise<Service> {
  const { config } = settings;
  const inventory = await bySetting('inventoryFile', config.inventoryFile, (path) => Inventory.open(path, log));
  const rates = new ChangingRateLimit(() => config.rateLimit);
  const observation = new Observation(version, () => config.minLogLevel, log);
  const common = {
    log,
    hashing: new Hashing(),
    rates,
    events: new ServiceEvents(log, config.httpTimeout),
    observation,
  };
  const [stores, pool] = await openStores(config, common);
  const readiness = new Health({ stores, minFreeBytes: () => config.minFreeBytes, pool });
  const trees = createTrees(config.httpFileServiceRootDir, inventory.file, stores);
  const parts = { ...common, version, release, inventory, stores, trees, pool, readiness };
  try {
    return readiness.serve(await startServing(settings, parts), common.events);
  } catch (error) {
    await pool?.stop(0);
    await closeParts(parts);
    throw error;
  }
}

interface Parts extends StoreParts {
  readonly version: string;
  readonly release: () => void;
  readonly inventory: Inventory;
  readonly stores: Stores;
  readonly trees: ReturnType<typeof createTrees>;
  readonly pool: WorkerPool | undefined;
  readonly readiness: Health;
}

/** Lets go of what there is besides the images, which have ended by then. */
async function closeParts({ stores, hashing, inventory, observation }: Parts): Promise<void> {
  await Promise.all([stores.iso.stop(), stores.common.stop()]);
  await hashing.stop();
  await inventory.settled();
  // Ends with the last lines of the access log.
  observation.stop();
}

function southboundOf(config: Config, { trees, rates }: Parts, images: Images): Application {
  return createSouthbound({
    images,
    ...trees,
    get wait() {
      return config.southboundWait;
    },
    get allow() {
      return config.southboundAllow;
    },
    boot: config,
    apiRoot: config.httpFileServiceApiRoot,
    chunkCache: config.chunkCache,
    rates,
  });
}

async function restoreImages(settings: Settings, parts: Parts, driver: MountDriver, systems: Systems): Promise<Images> {
  const { config } = settings;
  const { log, inventory, hashing, stores, trees, pool, events, observation } = parts;
  return Images.restore({
    ...{ inventory, store: stores.iso, driver, hashing, log, reservedNames, changes: events.changes },
    maxEntries: config.mount.maxEntries,
    bundleStore: trees.common,
    get localFolders() {
      return config.isoLocalDirs;
    },
    get signatures() {
      return systems.signatures;
    },
    downloads: await downloadPolicy(settings),
    downloadSlots: downloadSlots(settings),
    downloadFailed: observation.downloadFailed,
    ...(pool && { tell: (fact) => pool.tell(fact) }),
  });
}

/** @returns what refuses requests that may not be made; undefined where everybody may do everything */
async function openGuard(settings: Settings, log: Log) {
  const access = await openAccess(settings.config, log);
  if (access === undefined) return undefined;
  settings.onReload(async () => {
    await access.reload();
    return () => undefined;
  });
  return (exchange: Exchange) => access.check(exchange);
}

async function startServing(settings: Settings, parts: Parts): Promise<Service> {
  const { config } = settings;
  const { version, log, release, inventory, stores, pool, events, readiness, observation } = parts;
  const guard = await openGuard(settings, log);
  const certificates = await Certificates.read(config.httpEndpoints, log);
  settings.onReload(() => () => certificates.reload());
  const mount = await openMountDriver(config, inventory, stores.iso, log);
  const systems = await openSignatures(settings);
  const images = await restoreImages(settings, parts, mount.driver, systems);
  settings.onReload(() => () => images.identify());
  observation.begin({ images, stores, pool });
  settings.onReload((next) => () => pool?.change(workerSettings(next)));
  const state = { ...mount, driver: mount.driver.name };
  let { httpEndpoints: endpoints } = config;
  const northbound = createNorthbound({
    ...{ images, isoStore: stores.iso, microkernelStore: stores.common, mount: state, readiness, events, version, log },
    observed: observation,
    fileServerUrl: fileServerUrl(config, () => endpoints),
    get signatures() {
      return systems.signatures;
    },
    get corsOrigins() {
      return config.corsOrigins;
    },
    get maxUploadBytes() {
      return config.maxUploadBytes;
    },
    ...(guard && { guard }),
  });
  const southbound = southboundOf(config, parts, images);
  const applications = { northbound: observation.watched(northbound), southbound };
  const listening = listenAll(config, applications, { pool, certificates, log, watch: observation.watch });
  const opened = await listening.catch(async (error: unknown) => {
    await images.stop();
    throw error;
  });
  endpoints = config.httpEndpoints.map((endpoint, index) => ({ ...endpoint, port: opened[index]?.port ?? 0 }));
  return {
    endpoints,
    reload: async (next) => logReload(await settings.reload(next), log),
    stop: async () => {
      const stopped = [...opened, ...(pool ? [pool] : [])].map((one) => one.stop(config.stopTimeout));
      images.hurry();
      await Promise.all(stopped);
      await images.stop();
      await closeParts(parts);
      release();
    },
  };
}
