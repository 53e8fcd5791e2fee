import {
  diskPath,
  diskPathOrNone,
  endpoints,
  oneOf,
  type Reader,
  urlPath,
  userNameOrNone,
  wholeNumber,
  wholeNumberOrNone,
} from './config-keys.js';
import { diskPaths, networks, webHosts, webOrigins } from './config-lists.js';
import { imagePlaceOrNone, publicUrlOrNone } from './config-boot.js';
import type { Config } from './config-types.js';

const defaultEndpoints = [
  { address: '0.0.0.0', port: 7070, routers: 'northbound' },
  { address: '0.0.0.0', port: 9090, routers: 'southbound' },
];

// A longer timer of Node's fires at once.
const maxTimer = 2 ** 31 - 1;

/** As it is read: how many processes there are by default depends on the rest. */
export type Read = Omit<Config, 'southboundWorkers'> & { readonly southboundWorkers: number | undefined };

/** Gives the value of a key, made of what is written or of its default. */
export type Key = <T>(name: string, preset: unknown, reader: Reader<T>) => T;

/** A row for each key: its name, its default as one would write it, and the reader that knows what is allowed. */
export function readKeys(key: Key): Read {
  return {
    httpEndpoints: key('httpEndpoints', defaultEndpoints, endpoints),
    httpFileServiceRootDir: key('httpFileServiceRootDir', './static', diskPath),
    httpFileServiceApiRoot: key('httpFileServiceApiRoot', '/', urlPath),
    isoDir: key('isoDir', './static/iso', diskPath),
    microkernelDir: key('microkernelDir', './static/common', diskPath),
    inventoryFile: key('inventoryFile', './inventory.json', diskPath),
    httpTimeout: key('httpTimeout', 86_400_000, wholeNumber(1, maxTimer, 'milliseconds')),
    minLogLevel: key('minLogLevel', 0, wholeNumber(0, 5, 'a level')),
    logFormat: key('logFormat', 'text', oneOf('text', 'json')),
    logFile: key('logFile', null, diskPathOrNone),
    southboundWait: key('southboundWait', 60_000, wholeNumber(0, maxTimer, 'milliseconds')),
    southboundAllow: key('southboundAllow', null, networks),
    isoLocalDirs: key('isoLocalDirs', null, diskPaths),
    isoWebHosts: key('isoWebHosts', null, webHosts),
    systemsFile: key('systemsFile', null, diskPathOrNone),
    publicUrl: key('publicUrl', null, publicUrlOrNone),
    bootDefault: key('bootDefault', null, imagePlaceOrNone),
    bootTimeout: key('bootTimeout', 10_000, wholeNumber(0, maxTimer, 'milliseconds')),
    tlsCaFile: key('tlsCaFile', null, diskPathOrNone),
    authFile: key('authFile', null, diskPathOrNone),
    corsOrigins: key('corsOrigins', [], webOrigins),
    maxUploadBytes: key('maxUploadBytes', null, wholeNumberOrNone(1, Number.MAX_SAFE_INTEGER, 'bytes')),
    minFreeBytes: key('minFreeBytes', 100 * 2 ** 20, wholeNumber(0, Number.MAX_SAFE_INTEGER, 'bytes')),
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
