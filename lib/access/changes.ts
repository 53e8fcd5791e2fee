import { ServiceError } from '../errors.js';
import { changeEntries, readEntries } from './auth-file.js';
import { normalized } from './authorization.js';
import { type Entry, type Kind, type Scope, checkEntryName } from './entries.js';
import { formatToken, hashSecret, makeToken } from './secrets.js';

const passwordLength = { least: 8, most: 1024 };

function checkPassword(password: string): string {
  const { least, most } = passwordLength;
  const isAllowed = password.length >= least && password.length <= most && !/\p{Cc}/u.test(password);
  if (isAllowed) return normalized(password);
  const allowed = `${least} to ${most} characters, none of them a control character`;
  throw new ServiceError('BAD_REQUEST', `This password is not allowed; it must have ${allowed}`);
}

function refuseTaken(entries: readonly Entry[], name: string, kind?: Kind): void {
  const other = entries.find((entry) => entry.name === name && entry.kind !== kind);
  if (other === undefined) return;
  const message = `There is a ${other.kind} with the name ${name} already; "image-service ${other.kind} remove ${name}" removes it`;
  throw new ServiceError('EXISTS', message);
}

/**
 * Adds a token.
 * @returns the token, which is kept nowhere
 * @throws ServiceError BAD_REQUEST: the name; EXISTS; and what `changeEntries` throws
 */
export async function addToken(file: string, name: string, scope: Scope): Promise<string> {
  checkEntryName(name);
  const token = makeToken();
  const hashed = await hashSecret(token.secret, 'token');
  await changeEntries(file, (entries) => {
    refuseTaken(entries, name);
    const createdAt = new Date().toISOString();
    return [...entries, { name, kind: 'token', scope, id: token.id, ...hashed, createdAt }];
  });
  return formatToken(token);
}

/**
 * Sets the password of a name, new or old.
 * @param scope left out: as before, `read` for a new one
 * @throws ServiceError BAD_REQUEST: name or password; EXISTS: a token has the name; and what `changeEntries` throws
 */
export async function setPassword(file: string, name: string, password: string, scope?: Scope): Promise<void> {
  checkEntryName(name);
  const hashed = await hashSecret(checkPassword(password), 'password');
  await changeEntries(file, (entries) => {
    refuseTaken(entries, name, 'password');
    const before = entries.find((entry) => entry.name === name);
    const kept = { scope: scope ?? before?.scope ?? 'read', createdAt: new Date().toISOString() };
    return [...entries.filter((entry) => entry !== before), { name, kind: 'password', id: '', ...hashed, ...kept }];
  });
}

/** Removes a token or password. @throws ServiceError NOT_FOUND, and what `changeEntries` throws */
export function removeEntry(file: string, kind: Kind, name: string): Promise<void> {
  return changeEntries(file, (entries) => {
    const others = entries.filter((entry) => entry.kind !== kind || entry.name !== name);
    if (others.length === entries.length) {
      throw new ServiceError('NOT_FOUND', `There is no ${kind} with the name ${JSON.stringify(name)}`);
    }
    return others;
  });
}

/** The tokens or passwords, a line each: name, scope, when it was made. @throws ServiceError BAD_REQUEST: a broken file */
export async function listEntries(file: string, kind: Kind): Promise<string> {
  const entries = ((await readEntries(file)) ?? []).filter((entry) => entry.kind === kind);
  const width = Math.max(0, ...entries.map(({ name }) => name.length));
  return entries
    .map(({ name, scope, createdAt }) => `${name.padEnd(width)}  ${scope.padEnd(5)}  ${createdAt}\n`)
    .join('');
}
