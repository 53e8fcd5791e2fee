import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import {
  type Endpoint,
  type Router,
  allRouters,
  checkEndpoints,
  membersOf,
  port,
  Problems,
  refuse,
  refuseUnknown,
} from './config-keys.js';
import { type Read, readKeys } from './config-table.js';
import type { Config } from './config-types.js';
import { messageOf, ServiceError } from './errors.js';

// These are no single values: their variables hold JSON.
const listKeys = ['httpEndpoints', 'southboundAllow', 'isoLocalDirs', 'isoWebHosts', 'corsOrigins'];

export type { Config, MountConfig } from './config-types.js';

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
function checkPlaces(config: Read): void {
  const { httpFileServiceRootDir, isoDir, microkernelDir, inventoryFile, authFile, logFile, mount } = config;
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
  // The file server would give these to everybody.
  const keys = config.httpEndpoints.map(({ tls }, index): [string, string | undefined] => [
    `httpEndpoints[${index}].tls.key`,
    tls?.key,
  ]);
  for (const [key, path] of [...Object.entries({ authFile, logFile }), ...keys]) {
    if (path === undefined) continue;
    if (path === inventoryFile) refuse(key, path, 'another file than inventoryFile');
    for (const [place, folder] of Object.entries({ httpFileServiceRootDir, isoDir, microkernelDir })) {
      if (isInside(path, folder)) refuse(key, path, `a file outside of ${place}`);
    }
  }
  if (authFile !== undefined && authFile === logFile) refuse('logFile', logFile, 'another file than authFile');
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
