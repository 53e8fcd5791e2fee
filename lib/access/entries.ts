import { ServiceError } from '../errors.js';

export const kinds = ['token', 'password'] as const;
/** A token is made by the service and sent as Bearer; a password is chosen by a person and sent as Basic. */
export type Kind = (typeof kinds)[number];

export const scopes = ['read', 'write'] as const;
/** What a holder may do; `write` includes `read`. */
export type Scope = (typeof scopes)[number];

/** The cost parameters of scrypt (RFC 7914 2): it takes 128 × N × r bytes of memory, p times one after the other. */
export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** One token or password, as the file has it. Salt and hash are base64url. */
export interface Entry {
  readonly name: string;
  readonly kind: Kind;
  readonly scope: Scope;
  /** What a token is looked up by; a password is looked up by its name, and has an empty one. */
  readonly id: string;
  readonly salt: string;
  readonly hash: string;
  readonly scrypt: ScryptCost;
  readonly createdAt: string;
}

/** Bytes that scrypt may take for one entry: a file must not be able to exhaust the memory. */
export const maxScryptBytes = 2 ** 27;

// RFC 7617 2: no colon. The rest keeps lists and shells simple.
const namePattern = /^[A-Za-z0-9][\w.@-]{0,63}$/;
const idPattern = /^[\w-]{12}$/;
const saltPattern = /^[\w-]{22,86}$/;
const hashPattern = /^[\w-]{43}$/;

/** Checks the name of an entry; returns it unchanged. @throws ServiceError BAD_REQUEST */
export function checkEntryName(name: string): string {
  if (namePattern.test(name)) return name;
  const allowed = '1 to 64 letters, digits and . _ @ -, the first one a letter or a digit';
  throw new ServiceError('BAD_REQUEST', `The name ${JSON.stringify(name)} is not allowed; it must be ${allowed}`);
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown, pattern: RegExp): value is string {
  return typeof value === 'string' && pattern.test(value);
}

function isCount(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most;
}

function costOf(value: unknown): ScryptCost | undefined {
  if (!isObject(value)) return undefined;
  const { N, r, p } = value;
  if (!isCount(N, 2 ** 20) || !isCount(r, 64) || !isCount(p, 16)) return undefined;
  const isPowerOfTwo = N >= 2 ** 10 && Number.isInteger(Math.log2(N));
  return isPowerOfTwo && 128 * N * r <= maxScryptBytes ? { N, r, p } : undefined;
}

/** @throws ServiceError BAD_REQUEST: the member that is wrong, never its value, which may be half a secret */
function readEntry(value: unknown, at: string): Entry {
  const refuse = (what: string): never => {
    throw new ServiceError('BAD_REQUEST', `${at}: ${what}`);
  };
  if (!isObject(value)) return refuse('it must be an object');
  const { name, salt, hash, createdAt, id = '' } = value;
  const kind = kinds.find((one) => one === value['kind']) ?? refuse(`kind must be one of ${kinds.join(', ')}`);
  const scope = scopes.find((one) => one === value['scope']) ?? refuse(`scope must be one of ${scopes.join(', ')}`);
  if (!isText(name, namePattern)) return refuse('name is missing or not allowed');
  if (!isText(id, kind === 'token' ? idPattern : /^$/))
    return refuse('id must be 12 characters for a token, else none');
  if (!isText(salt, saltPattern)) return refuse('salt must be 16 to 64 bytes in base64url');
  if (!isText(hash, hashPattern)) return refuse('hash must be 32 bytes in base64url');
  if (!isText(createdAt, /^\d{4}-/)) return refuse('createdAt must be a time');
  const scrypt = costOf(value['scrypt']);
  if (scrypt === undefined) return refuse('scrypt must be N, a power of two from 1024, r and p, for at most 128 MiB');
  return { name, kind, scope, id, salt, hash, scrypt, createdAt };
}

function firstTwice(values: readonly string[]): string | undefined {
  return values.find((value, index) => values.indexOf(value) !== index);
}

/**
 * Reads the text of the file.
 * @throws ServiceError BAD_REQUEST: what is wrong, without any value of the file but names
 */
export function parseEntries(text: string): Entry[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // What JSON.parse says quotes the text.
    throw new ServiceError('BAD_REQUEST', 'it is not JSON');
  }
  const list = isObject(value) ? value['entries'] : undefined;
  if (!Array.isArray(list)) throw new ServiceError('BAD_REQUEST', 'it must be an object with a list "entries"');
  const entries = list.map((entry: unknown, index) => readEntry(entry, `entries[${index}]`));
  const twice = firstTwice(entries.map(({ name }) => name));
  if (twice !== undefined) throw new ServiceError('BAD_REQUEST', `the name ${JSON.stringify(twice)} is there twice`);
  if (firstTwice(entries.flatMap(({ id }) => (id === '' ? [] : [id]))) !== undefined) {
    throw new ServiceError('BAD_REQUEST', 'an id is there twice');
  }
  return entries;
}

/** The text of the file. */
export function serializeEntries(entries: readonly Entry[]): string {
  const written = entries.map(({ id, ...entry }) => (id === '' ? entry : { id, ...entry }));
  return `${JSON.stringify({ entries: written }, null, 2)}\n`;
}
