import { realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Config } from './config.js';
import { type Endpoint, type Router, allRouters } from './config-keys.js';
import { ServiceError, ifThere, messageOf } from './errors.js';
import { folderTree } from './folder.js';
import type { Application } from './http/exchange.js';
import { type HttpServer, listen } from './http/server.js';
import { readAuthorities } from './images/download-authorities.js';
import { Hashing } from './images/hashing.js';
import { Images } from './images/images.js';
import { Inventory } from './images/inventory.js';
import { lock } from './images/lock.js';
import { Store } from './images/store.js';
import { storeTree } from './images/store-tree.js';
import type { Log } from './log.js';
import { openDriver } from './mount/drivers.js';
import { createNorthbound } from './northbound/northbound.js';
import { createSouthbound } from './southbound/southbound.js';

/** A running service. */
export interface Service {
  /** Where each endpoint of the configuration listens, with the port that a 0 became. */
  readonly endpoints: readonly Endpoint[];
  /** Stops listening, lets requests in flight end (bounded by `stopTimeout`), ends downloads, and lets go of all files. */
  stop(): Promise<void>;
}

/** The place of each store in the southbound URL space. */
const isoPlace = 'iso';
const microkernelPlace = 'common';

/** Where the service keeps what it must have for itself, by the setting that says so. */
function statePlaces({ inventoryFile, isoDir, microkernelDir, mount }: Config) {
  // The direct driver mounts nothing: the usual folder may be another service's.
  const mounts = mount.driver === 'direct' ? {} : { 'mount.dir': mount.dir };
  return { inventoryFile, isoDir, microkernelDir, ...mounts };
}

/** Milliseconds that the far end of a download may be silent. */
const downloadIdleTimeout = 60_000;

/** Names that no image can have: places of the stores, and northbound routes, as both can be on one endpoint. */
const reservedNames: ReadonlySet<string> = new Set([isoPlace, microkernelPlace, 'images', 'microkernel', 'status']);

function createTrees(config: Config, inventory: Inventory, isoStore: Store, microkernelStore: Store) {
  const stores = [isoStore, microkernelStore];
  const options = {
    allowedOutside: (real: string) => isoStore.leadsTo(real),
    // Also its temporary file, and broken ones that were kept aside.
    hidden: (real: string) => real === inventory.file || real.startsWith(`${inventory.file}.`),
    digest: (real: string, stats: { readonly size: bigint; readonly mtimeNs: bigint }) =>
      stores.find(({ folder }) => folder === dirname(real))?.digestOf(basename(real), stats),
  };
  return {
    root: folderTree(config.httpFileServiceRootDir, options),
    stores: new Map([
      [isoPlace, storeTree(isoStore, options)],
      [microkernelPlace, storeTree(microkernelStore, options)],
    ]),
  };
}

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

/** Opens every endpoint, or none. */
async function listenAll(config: Config, application: Record<Router, Application>, log: Log): Promise<HttpServer[]> {
  const servers: HttpServer[] = [];
  try {
    for (const { address, port, routers } of config.httpEndpoints) {
      // What northbound has no route for is southbound's, where an endpoint has both.
      const order = allRouters.filter((router) => routers.includes(router));
      const applications = order.map((router) => application[router]);
      const server = await listen({ address, port, httpTimeout: config.httpTimeout, applications, log });
      servers.push(server);
      log.info(`${order.join(' and ')} on ${server.address} port ${server.port}`);
    }
    return servers;
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop(0)));
    throw error;
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

async function startLocked(config: Config, version: string, log: Log, release: () => void): Promise<Service> {
  const inventory = await bySetting('inventoryFile', config.inventoryFile, (path) => Inventory.open(path, log));
  const ca = config.tlsCaFile === undefined ? undefined : await readAuthorities(config.tlsCaFile);
  const hashing = new Hashing();
  const options = { log, hashing, keptFor: config.uploadTtl };
  const isoStore = await bySetting('isoDir', config.isoDir, (path) => Store.open(path, options));
  const microkernelStore = await bySetting('microkernelDir', config.microkernelDir, (path) =>
    Store.open(path, options),
  );
  const mount = await openMountDriver(config, inventory, isoStore, log);
  const images = await Images.restore({
    ...{ inventory, store: isoStore, driver: mount.driver, hashing, log, reservedNames },
    maxEntries: config.mount.maxEntries,
    localFolders: config.isoLocalDirs,
    downloads: { idleTimeout: downloadIdleTimeout, hosts: config.isoWebHosts, ca },
    downloadSlots: config.downloads,
  });
  const close = async () => {
    await images.stop();
    await Promise.all([isoStore.stop(), microkernelStore.stop()]);
    await hashing.stop();
    await inventory.settled();
  };
  const state = { ...mount, driver: mount.driver.name };
  const northbound = createNorthbound({ images, isoStore, microkernelStore, mount: state, version, log });
  const southbound = createSouthbound({
    images,
    ...createTrees(config, inventory, isoStore, microkernelStore),
    wait: config.southboundWait,
    apiRoot: config.httpFileServiceApiRoot,
  });
  const servers = await listenAll(config, { northbound, southbound }, log).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    endpoints: config.httpEndpoints.map((endpoint, index) => ({ ...endpoint, port: servers[index]?.port ?? 0 })),
    stop: async () => {
      const stopped = servers.map((server) => server.stop(config.stopTimeout));
      images.hurry();
      await Promise.all(stopped);
      await close();
      release();
    },
  };
}
