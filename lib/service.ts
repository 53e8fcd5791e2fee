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
import { directDriver } from './mount/direct.js';
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

/** Settings that say where the service keeps what it must have for itself. */
const stateKeys = ['inventoryFile', 'isoDir', 'microkernelDir'] as const;
type StateKey = (typeof stateKeys)[number];

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
async function bySetting<T>(config: Config, key: StateKey, operation: (path: string) => Promise<T>): Promise<T> {
  try {
    return await operation(config[key]);
  } catch (error) {
    throw new ServiceError('BAD_REQUEST', `${key} ${JSON.stringify(config[key])}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Makes sure that no other service works on the same files. */
async function lockState(config: Config): Promise<() => void> {
  const locks: (() => void)[] = [];
  const release = () => locks.forEach((unlock) => unlock());
  try {
    for (const key of stateKeys) {
      locks.push(await bySetting(config, key, async (path) => lock((await ifThere(realpath(path))) ?? path)));
    }
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
  const inventory = await bySetting(config, 'inventoryFile', (path) => Inventory.open(path, log));
  const ca = config.tlsCaFile === undefined ? undefined : await readAuthorities(config.tlsCaFile);
  const hashing = new Hashing();
  const options = { log, hashing, keptFor: config.uploadTtl };
  const isoStore = await bySetting(config, 'isoDir', (path) => Store.open(path, options));
  const microkernelStore = await bySetting(config, 'microkernelDir', (path) => Store.open(path, options));
  const images = await Images.restore({
    ...{ inventory, store: isoStore, driver: directDriver, hashing, log, reservedNames },
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
  const northbound = createNorthbound({ images, isoStore, microkernelStore, version, log });
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
