import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Config, Endpoint } from './config.js';
import { folderTree } from './folder.js';
import type { Application } from './http/exchange.js';
import { type HttpServer, listen } from './http/server.js';
import { Images } from './images/images.js';
import { Inventory } from './images/inventory.js';
import { Store } from './images/store.js';
import type { Log } from './log.js';
import { directDriver } from './mount/direct.js';
import { createNorthbound } from './northbound/northbound.js';
import { createSouthbound } from './southbound/southbound.js';

/** A running service. */
export interface Service {
  /** Where each endpoint of the configuration listens, with the port that a 0 became. */
  readonly endpoints: readonly (Endpoint & { readonly port: number })[];
  /** Stops listening, lets requests in flight end (bounded by `stopTimeout`), ends downloads, and lets go of all files. */
  stop(): Promise<void>;
}

/** The place of each store in the southbound URL space. */
const isoPlace = 'iso';
const microkernelPlace = 'common';

/** Names that no image can have: places of the stores, and northbound routes, as both can be on one endpoint. */
const reservedNames: ReadonlySet<string> = new Set([isoPlace, microkernelPlace, 'images', 'microkernel']);

async function withRealPaths(folders: readonly string[] | undefined): Promise<readonly string[] | undefined> {
  if (folders === undefined) return undefined;
  const real = await Promise.all(folders.map((folder) => realpath(folder).catch(() => folder)));
  return [...folders, ...real];
}

/** The inventory's real path, which may lie in the served folder. */
async function realInventory({ inventoryFile }: Config): Promise<string> {
  const folder = dirname(inventoryFile);
  return join(await realpath(folder).catch(() => folder), basename(inventoryFile));
}

async function createTrees(config: Config, isoStore: Store, microkernelStore: Store) {
  const inventory = await realInventory(config);
  const stores = [isoStore, microkernelStore];
  const options = {
    allowedOutside: (real: string) => isoStore.leadsTo(real),
    // Also its temporary file, and broken ones that were kept aside.
    hidden: (real: string) => real === inventory || real.startsWith(`${inventory}.`),
    digest: (real: string, stats: { readonly size: bigint; readonly mtimeNs: bigint }) =>
      stores.find(({ folder }) => folder === dirname(real))?.digestOf(basename(real), stats),
  };
  return {
    root: folderTree(config.httpFileServiceRootDir, options),
    stores: new Map([
      [isoPlace, folderTree(isoStore.folder, options)],
      [microkernelPlace, folderTree(microkernelStore.folder, options)],
    ]),
  };
}

/** Opens every endpoint, or none. */
async function listenAll(config: Config, application: Record<string, Application>, log: Log): Promise<HttpServer[]> {
  const servers: HttpServer[] = [];
  try {
    for (const { address, port, routers } of config.httpEndpoints) {
      // What northbound has no route for is southbound's, where an endpoint has both.
      const order = ['northbound', 'southbound'].filter((name) => routers.some((router) => router === name));
      const applications = order.flatMap((name) => application[name] ?? []);
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

/**
 * Starts the service: brings back every image of the inventory, then opens the ports.
 * @param version what the service says of itself
 * @throws ServiceError what keeps it from starting
 */
export async function startService(config: Config, version: string, log: Log): Promise<Service> {
  const inventory = await Inventory.open(config.inventoryFile, log);
  const isoStore = await Store.open(config.isoDir, log);
  const microkernelStore = await Store.open(config.microkernelDir, log);
  const images = await Images.restore({
    inventory,
    store: isoStore,
    driver: directDriver,
    log,
    localFolders: await withRealPaths(config.isoLocalDirs),
    reservedNames,
    idleTimeout: 60_000,
  });
  const northbound = createNorthbound({ images, isoStore, microkernelStore, version, log });
  const southbound = createSouthbound({
    images,
    ...(await createTrees(config, isoStore, microkernelStore)),
    wait: config.southboundWait,
    apiRoot: config.httpFileServiceApiRoot,
    log,
  });
  const stopImages = () => images.stop();
  const servers = await listenAll(config, { northbound, southbound }, log).catch((error: unknown) => {
    stopImages();
    throw error;
  });
  return {
    endpoints: config.httpEndpoints.map((endpoint, index) => ({ ...endpoint, port: servers[index]?.port ?? 0 })),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop(config.stopTimeout)));
      stopImages();
    },
  };
}
