import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { ServiceError } from './errors.js';

export const allRouters = ['northbound', 'southbound'] as const;
export type Router = (typeof allRouters)[number];

/** Where the service listens, and what it answers there. Port 0 is any free port. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly routers: readonly Router[];
  /** Where it speaks https. */
  readonly tls?: TlsFiles;
}

/** Paths of files in PEM. */
export interface TlsFiles {
  /** The certificate, and behind it those between it and its authority. */
  readonly cert: string;
  readonly key: string;
  /** The authorities of the clients: each client needs a certificate of one of these. Left out: no client needs any. */
  readonly ca?: string;
}

/**
 * Makes a setting out of a value as it was written.
 * @param at what the value is called: a key, or the name of an environment variable
 * @param root absolute path where relative paths begin
 * @throws ServiceError BAD_REQUEST: one line for each problem
 */
export type Reader<T> = (value: unknown, at: string, root: string) => T;

const maxShown = 100;

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text;
}

/** @throws ServiceError BAD_REQUEST, always */
export function refuse(at: string, value: unknown, allowed: string): never {
  throw new ServiceError('BAD_REQUEST', `${at}: ${shown(value)} is not allowed; it must be ${allowed}`);
}

/** @throws ServiceError BAD_REQUEST, always */
export function refuseUnknown(at: string, value: unknown, known: readonly string[]): never {
  throw new ServiceError(
    'BAD_REQUEST',
    `${at}: unknown key, with the value ${shown(value)}; the keys are ${known.join(', ')}`,
  );
}

/** Gathers what readers refuse, so that everything that is wrong is said at once. */
export class Problems {
  readonly #lines: string[] = [];

  /** What the step makes, or, when it refuses, `substitute`: it goes no further than the next `raise`. */
  attempt<T>(step: () => T, substitute: T): T {
    try {
      return step();
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.#lines.push(error.message);
      return substitute;
    }
  }

  /** @throws ServiceError BAD_REQUEST, a line for each problem, when there has been any */
  raise(): void {
    if (this.#lines.length > 0) throw new ServiceError('BAD_REQUEST', this.#lines.join('\n'));
  }
}

/** @throws ServiceError BAD_REQUEST: the problems of all elements */
export function readEach<T>(
  values: readonly unknown[],
  at: string,
  root: string,
  reader: Reader<T>,
  substitute: T,
): T[] {
  const problems = new Problems();
  const read = values.map((value, index) => problems.attempt(() => reader(value, `${at}[${index}]`, root), substitute));
  problems.raise();
  return read;
}

/** A whole number, or a string of digits: the documented configuration writes both. */
export function wholeNumber(least: number, most: number, unit: string): Reader<number> {
  return (value, at) => {
    const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most) return number;
    return refuse(at, value, `${unit} from ${least} to ${most}, a number or a string of digits`);
  };
}

/** A whole number, or undefined for null. */
export function wholeNumberOrNone(least: number, most: number, unit: string): Reader<number | undefined> {
  const reader = wholeNumber(least, most, unit);
  return (value, at, root) => (value === null ? undefined : reader(value, at, root));
}

/** A user of the system, by name or number (useradd(8) says which names there are); undefined for null. */
export const userNameOrNone: Reader<string | undefined> = (value, at) => {
  if (value === null) return undefined;
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text === 'string' && /^(?:[a-z_][\w.-]{0,31}\$?|\d{1,10})$/i.test(text)) return text;
  return refuse(at, value, 'the name or the number of a user');
};

/** One of a few words. */
export function oneOf<Word extends string>(...words: readonly Word[]): Reader<Word> {
  return (value, at) => words.find((word) => word === value) ?? refuse(at, value, `one of ${words.join(', ')}`);
}

/** A path on disk, made absolute. */
export const diskPath: Reader<string> = (value, at, root) => {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    return refuse(at, value, 'a path, absolute or relative to the root folder of the service');
  }
  return resolve(root, value);
};

/** A path on disk, made absolute; undefined for null. */
export const diskPathOrNone: Reader<string | undefined> = (value, at, root) =>
  value === null ? undefined : diskPath(value, at, root);

/** The path below which the file server answers, with a slash at both ends. */
export const urlPath: Reader<string> = (value, at) => {
  if (typeof value !== 'string' || !/^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)*\/?$/.test(value) || value === '') {
    return refuse(at, value, 'a URL path: / or /name, of letters, digits and - . _ ~');
  }
  return value.endsWith('/') ? value : `${value}/`;
};

const address: Reader<string> = (value, at) => {
  // Host names whose last label is a number are mistyped addresses, such as 10.0.0.256.
  if (typeof value === 'string' && (isIP(value) !== 0 || /^(?:[\w-]+\.)*[a-z_][\w-]*$/i.test(value))) return value;
  return refuse(at, value, 'an IP address or a host name');
};

export const port = wholeNumber(0, 65_535, 'a port');

function isRouter(value: unknown): value is Router {
  return allRouters.some((router) => router === value);
}

const routers: Reader<readonly Router[]> = (value, at) => {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const known = list.filter(isRouter);
  if (known.length > 0 && known.length === list.length && new Set(known).size === known.length) return known;
  return refuse(at, value, '"northbound", "southbound" or a list of both');
};

/** The members of a JSON object, or undefined for any other value. A Map: `__proto__` is a key like any other. */
export function membersOf(value: unknown): Map<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return new Map(Object.entries(value));
}

/** Reads the members of an object one by one, and refuses those that nobody has read. */
class Members {
  readonly problems = new Problems();
  readonly #members: ReadonlyMap<string, unknown>;
  readonly #known: string[] = [];

  constructor(
    value: unknown,
    readonly at: string,
    readonly root: string,
    allowed: string,
  ) {
    this.#members = membersOf(value) ?? refuse(at, value, allowed);
  }

  read<T>(name: string, reader: Reader<T>, substitute: T): T {
    this.#known.push(name);
    const value = this.#members.get(name);
    return this.problems.attempt(() => reader(value, `${this.at}.${name}`, this.root), substitute);
  }

  /** One that can be left out. */
  readOptional<T>(name: string, reader: Reader<T>, substitute: T): T | undefined {
    if (this.#members.has(name)) return this.read(name, reader, substitute);
    this.#known.push(name);
    return undefined;
  }

  /** @throws ServiceError BAD_REQUEST: all that was wrong */
  end(): void {
    for (const [name, value] of this.#members) {
      if (this.#known.includes(name)) continue;
      this.problems.attempt(() => refuseUnknown(`${this.at}.${name}`, value, this.#known), undefined);
    }
    this.problems.raise();
  }
}

const tlsFiles: Reader<TlsFiles> = (value, at, root) => {
  const members = new Members(value, at, root, 'an object with cert, key and, if clients need certificates, ca');
  const read = { cert: members.read('cert', diskPath, ''), key: members.read('key', diskPath, '') };
  const ca = members.readOptional('ca', diskPath, '');
  members.end();
  return { ...read, ...(ca && { ca }) };
};

const endpoint: Reader<Endpoint> = (value, at, root) => {
  const members = new Members(value, at, root, 'an object with address, port and routers');
  const read = {
    address: members.read('address', address, ''),
    port: members.read('port', port, 0),
    routers: members.read('routers', routers, []),
  };
  const tls = members.readOptional('tls', tlsFiles, { cert: '', key: '' });
  members.end();
  return { ...read, ...(tls && { tls }) };
};

/** Each endpoint by itself; `checkEndpoints` says whether they go together. */
export const endpoints: Reader<readonly Endpoint[]> = (value, at, root) => {
  if (!Array.isArray(value) || value.length === 0) return refuse(at, value, 'a list of at least one endpoint');
  return readEach(value, at, root, endpoint, { address: '', port: 0, routers: [] });
};

/** @throws ServiceError BAD_REQUEST: a router that nothing serves, or two endpoints at one address and port */
export function checkEndpoints(list: readonly Endpoint[], at: string): void {
  const problems = new Problems();
  for (const router of allRouters) {
    if (list.some((one) => one.routers.includes(router))) continue;
    problems.attempt(() => refuse(at, list, `a list in which some endpoint has the router "${router}"`), undefined);
  }
  const places = list.filter((one) => one.port !== 0).map((one) => `${one.address.toLowerCase()} port ${one.port}`);
  const repeated = new Set(places.filter((place, index) => places.indexOf(place) !== index));
  for (const place of repeated) problems.attempt(() => refuse(at, place, 'used by one endpoint only'), undefined);
  problems.raise();
}
