import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ServiceError, ifThere, messageOf, systemCode } from '../errors.js';
import { replaceFile } from '../images/durable.js';
import { lock } from '../images/lock.js';
import { type Entry, parseEntries, serializeEntries } from './entries.js';

function refuse(path: string, error: unknown): never {
  const message = `authFile ${JSON.stringify(path)}: ${messageOf(error)}`;
  throw new ServiceError('BAD_REQUEST', message, { cause: error });
}

/** The entries of the file; undefined when there is none. @throws ServiceError BAD_REQUEST: it cannot be read, and why */
export async function readEntries(path: string): Promise<Entry[] | undefined> {
  const text = await ifThere(readFile(path, 'utf8')).catch((error: unknown) => refuse(path, error));
  try {
    return text === undefined ? undefined : parseEntries(text);
  } catch (error) {
    return refuse(path, error);
  }
}

/** What differs after every change of the file, whoever makes it, and its permissions. Never rejects. */
export async function versionOf(path: string): Promise<{ readonly version: string; readonly mode: number }> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs, mode } = await stat(path, { bigint: true });
    return { version: [dev, ino, size, mtimeNs, ctimeNs].join(' '), mode: Number(mode) & 0o777 };
  } catch (error) {
    return { version: systemCode(error) ?? messageOf(error), mode: 0 };
  }
}

/**
 * Has this process, where root runs it, go on for good as the owner of the file's folder: the service, which reads the
 * file, is another user. As root it would follow the links that this user puts into its folder.
 */
export async function becomeOwner(path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(dirname(path)).catch((error: unknown) => refuse(path, error));
  if (uid === 0) return;
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}

/**
 * Changes the entries. What a crash leaves is the file as it was or as it is meant to be.
 * @param change makes the new entries of the old ones; what it throws leaves the file as it is
 * @throws ServiceError BAD_REQUEST: the file is broken or cannot be written; BUSY: somebody else changes it now
 */
export async function changeEntries(
  path: string,
  change: (entries: readonly Entry[]) => readonly Entry[],
): Promise<void> {
  // A link in its place stays, and what it points at is replaced.
  const file = (await ifThere(realpath(path))) ?? path;
  const release = await lock(file).catch((error: unknown) => {
    const message = `authFile ${JSON.stringify(path)} is being changed by somebody else; try again`;
    throw new ServiceError('BUSY', message, { cause: error });
  });
  try {
    const entries = await readEntries(file);
    const text = serializeEntries(change(entries ?? []));
    await replaceFile(file, text, 0o600).catch((error: unknown) => refuse(path, error));
  } finally {
    release();
  }
}
