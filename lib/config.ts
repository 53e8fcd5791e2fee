import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import {
  type Endpoint,
  type Reader,
  type Router,
  allRouters,
  checkEndpoints,
  diskPath,
  diskPathOrNone,
  diskPaths,
  endpoints,
  membersOf,
  oneOf,
  port,
  Problems,
  refuse,
  refuseUnknown,
  urlPath,
  userNameOrNone,
  webHosts,
  wholeNumber,
  wholeNumberOrNone,
} from './config-keys.js';
import { messageOf, ServiceError } from './errors.js';

/** Every setting of the service, checked. Paths are absolute, times in milliseconds. */
export interface Config {
  readonly httpEndpoints: readonly Endpoint[];
  /** The folder that the file server serves. */
  readonly httpFileServiceRootDir: string;
  /** The URL path below which it does; begins and ends with a slash. */
  readonly httpFileServiceApiRoot: string;
  readonly isoDir: string;
  readonly microkernelDir: string;
  readonly inventoryFile: string;
  /** How long a request may take to arrive, and a connection in use may be silent. */
  readonly httpTimeout: number;
  /** 0 (everything) to 5 (nothing). */
  readonly minLogLevel: number;
  /** How long a request below an image that is being prepared waits for it. */
  readonly southboundWait: number;
  /** The folders that `isolocal` may take a file from; undefined for any, none for an empty list. */
  readonly isoLocalDirs: readonly string[] | undefined;
  /** The hosts that downloads may come from: names with or without a port, `*.name` for all below; undefined for any. */
  readonly isoWebHosts: readonly string[] | undefined;
  /** Certificates in PEM that https downloads trust beside Node's own; undefined for none. */
  readonly tlsCaFile: string | undefined;
  /** How many downloads run at a time. */
  readonly downloads: number;
  /** How long an interrupted upload is kept. */
  readonly uploadTtl: number;
  /** How long requests in flight may go on when the service stops. */
  readonly stopTimeout: number;
  /** Processes that serve the machines; 0: the main process does. */
  readonly southboundWorkers: number;
  /** The user that those run as when the service is started as root; undefined: `nobody`, where that can read the files. */
  readonly user: string | undefined;
  /** Bytes of files that are kept in memory for whoever asks next, in all processes together. */
  readonly chunkCache: number;
  /** Connections that are served at a time; others wait. */
  readonly maxConnections: number;
  /** Bytes a second that one client gets; 0: no limit. */
  readonly rateLimit: number;
  readonly mount: MountConfig;
}

/** How ISOs become trees. */
export interface MountConfig {
  /** `auto`: by the kernel where that works, otherwise by our own reader. */
  readonly driver: 'direct' | 'loop' | 'fuse' | 'auto';
  /** The folder of the mount points. */
  readonly dir: string;
  /** Entries of an ISO that one request may have read. */
  readonly maxEntries: number;
}

const defaultEndpoints = [
  { address: '0.0.0.0', port: 7070, routers: 'northbound' },
  { address: '0.0.0.0', port: 9090, routers: 'southbound' },
];

// These are no single values: their variables hold JSON.
const listKeys = ['httpEndpoints', 'isoLocalDirs', 'isoWebHosts'];

// A longer timer of Node's fires at once.
const maxTimer = 2 ** 31 - 1;

export type Environment = Readonly<Record<string, string | undefined>>;

/** A value as somebody wrote it, and what to call it when it is wrong. */
interface Written {
  readonly value: unknown;
  readonly at: string;
}

function parseJson(text: string, at: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (error) {
    throw new ServiceError('BAD_REQUEST', `${at}: not JSON: ${messageOf(error)}`, { cause: error });
  }
}

/** The keys of the file, those of a group behind its name and a dot. */
function parseFile(text: string | undefined, fileName: string): Map<string, unknown> {
  const value = text === undefined ? {} : parseJson(text, fileName);
  const keys = membersOf(value) ?? refuse(fileName, value, 'a JSON object');
  const group = keys.get('mount');
  if (group === undefined) return keys;
  const members = membersOf(group) ?? refuse(`${fileName}: mount`, group, 'a JSON object');
  keys.delete('mount');
  for (const [name, member] of members) keys.set(`mount.${name}`, member);
  return keys;
}

function variableOf(key: string): string {
  return `IMAGE_SERVICE_${key.replace(/[A-Z]/g, '_$&').replace('.', '_').toUpperCase()}`;
}

/** The setting of one key: from the environment, else from the file, else undefined. */
function find(
  key: string,
  file: Map<string, unknown>,
  environment: Environment,
  fileName: string,
): Written | undefined {
  const variable = variableOf(key);
  const text = environment[variable];
  if (text !== undefined) {
    return { value: listKeys.includes(key) ? parseJson(text, variable) : text, at: variable };
  }
  return file.has(key) ? { value: file.get(key), at: `${fileName}: ${key}` } : undefined;
}

/** Sets the port of the one endpoint that has this router and no other, when the environment says so. */
function overridePort(list: readonly Endpoint[], router: Router, environment: Environment): readonly Endpoint[] {
  const variable = variableOf(`${router}Port`);
  const text = environment[variable];
  // Kubernetes injects such a URL for a service that is named image-service-northbound.
  if (text === undefined || /^(?:tcp|udp|sctp):\/\//.test(text)) return list;
  const isOwn = (endpoint: Endpoint) => endpoint.routers.length === 1 && endpoint.routers[0] === router;
  const count = list.filter(isOwn).length;
  if (count !== 1) {
    return refuse(variable, text, `left out: ${count} endpoints have the router "${router}" alone, and it sets one`);
  }
  const number = port(text, variable, '');
  return list.map((endpoint) => (isOwn(endpoint) ? { ...endpoint, port: number } : endpoint));
}

/** As it is read: how many processes there are by default depends on the rest. */
type Read = Omit<Config, 'southboundWorkers'> & { readonly southboundWorkers: number | undefined };

type Key = <T>(name: string, preset: unknown, reader: Reader<T>) => T;

/** A row for each key: its name, its default as one would write it, and the reader that knows what is allowed. */
function readKeys(key: Key): Read {
  return {
    httpEndpoints: key('httpEndpoints', defaultEndpoints, endpoints),
    httpFileServiceRootDir: key('httpFileServiceRootDir', './static', diskPath),
    httpFileServiceApiRoot: key('httpFileServiceApiRoot', '/', urlPath),
    isoDir: key('isoDir', './static/iso', diskPath),
    microkernelDir: key('microkernelDir', './static/common', diskPath),
    inventoryFile: key('inventoryFile', './inventory.json', diskPath),
    httpTimeout: key('httpTimeout', 86_400_000, wholeNumber(1, maxTimer, 'milliseconds')),
    minLogLevel: key('minLogLevel', 0, wholeNumber(0, 5, 'a level')),
    southboundWait: key('southboundWait', 60_000, wholeNumber(0, maxTimer, 'milliseconds')),
    isoLocalDirs: key('isoLocalDirs', null, diskPaths),
    isoWebHosts: key('isoWebHosts', null, webHosts),
    tlsCaFile: key('tlsCaFile', null, diskPathOrNone),
    downloads: key('downloads', 4, wholeNumber(1, 100, 'a whole number')),
    uploadTtl: key('uploadTtl', 86_400_000, wholeNumber(0, maxTimer, 'milliseconds')),
    stopTimeout: key('stopTimeout', 10_000, wholeNumber(0, maxTimer, 'milliseconds')),
    southboundWorkers: key('southboundWorkers', null, wholeNumberOrNone(0, 64, 'processes')),
    user: key('user', null, userNameOrNone),
    chunkCache: key('chunkCache', 128 * 2 ** 20, wholeNumber(0, 2 ** 40, 'bytes')),
    maxConnections: key('maxConnections', 8192, wholeNumber(1, 1_000_000, 'connections')),
    rateLimit: key('rateLimit', 0, wholeNumber(0, 2 ** 40, 'bytes a second')),
    mount: {
      driver: key('mount.driver', 'direct', oneOf('direct', 'loop', 'fuse', 'auto')),
      dir: key('mount.dir', './mounts', diskPath),
      maxEntries: key('mount.maxEntries', 1_000_000, wholeNumber(1000, 100_000_000, 'entries')),
    },
  };
}

/** One for each processor, 4 at the most. Mounts of the kernel and of FUSE are read by the process that made them. */
function workersOf({ southboundWorkers, mount }: Read): number {
  if (mount.driver === 'direct') return southboundWorkers ?? Math.min(availableParallelism(), 4);
  if (southboundWorkers === undefined || southboundWorkers === 0) return 0;
  return refuse('southboundWorkers', southboundWorkers, `0 or left out where mount.driver is "${mount.driver}"`);
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/** The stores, the mounts and the inventory must not get into each other's way: what is in a store can be deleted. */
function checkPlaces({ httpFileServiceRootDir, isoDir, microkernelDir, inventoryFile, mount }: Read): void {
  if (isoDir === microkernelDir) refuse('microkernelDir', microkernelDir, 'another folder than isoDir');
  // Empty folders and mounts in there are taken away at the start.
  for (const [key, folder] of Object.entries({ httpFileServiceRootDir, isoDir, microkernelDir })) {
    if (mount.driver === 'direct' || (!isInside(mount.dir, folder) && !isInside(folder, mount.dir))) continue;
    refuse('mount.dir', mount.dir, `a folder of its own, neither in ${key} nor around it`);
  }
  for (const [key, store] of Object.entries({ isoDir, microkernelDir })) {
    if (inventoryFile === store || dirname(inventoryFile) === store) {
      refuse('inventoryFile', inventoryFile, `a file outside of ${key}`);
    }
  }
}

/**
 * Reads the configuration: the environment over the file over the defaults.
 *
 * Variables that begin with IMAGE_SERVICE_ and are not ours are ignored on purpose: Kubernetes injects
 * IMAGE_SERVICE_PORT=tcp://… and more of the kind into every container beside a service of this name.
 * @param text the file's, undefined when there is none
 * @param root absolute path where relative paths begin
 * @param fileName what the messages call the file
 * @throws ServiceError BAD_REQUEST: everything that is wrong, a line each, with the key or variable, the value and what
 * is allowed
 */
export function readConfig(text: string | undefined, root: string, environment: Environment, fileName: string): Config {
  const problems = new Problems();
  const file = problems.attempt(() => parseFile(text, fileName), new Map<string, unknown>());
  const known: string[] = [];
  const config = readKeys((name, preset, reader) => {
    known.push(name);
    const otherwise = reader(preset, name, root);
    return problems.attempt(() => {
      const written = find(name, file, environment, fileName);
      return written === undefined ? otherwise : reader(written.value, written.at, root);
    }, otherwise);
  });
  for (const [name, value] of file) {
    if (!known.includes(name)) problems.attempt(() => refuseUnknown(`${fileName}: ${name}`, value, known), undefined);
  }
  let httpEndpoints = config.httpEndpoints;
  for (const router of allRouters) {
    httpEndpoints = problems.attempt(() => overridePort(httpEndpoints, router, environment), httpEndpoints);
  }
  problems.attempt(() => checkPlaces(config), undefined);
  problems.attempt(() => checkEndpoints(httpEndpoints, 'httpEndpoints'), undefined);
  const southboundWorkers = problems.attempt(() => workersOf(config), 0);
  problems.raise();
  return { ...config, httpEndpoints, southboundWorkers };
}
