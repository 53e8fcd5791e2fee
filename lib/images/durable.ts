import type { Stats } from 'node:fs';
import { mkdir, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ifThere, systemCode } from '../errors.js';

/** The name under which `replaceFile` writes before it renames. */
export function temporaryOf(path: string): string {
  return `${path}.tmp`;
}

async function syncOpenFolder(folder: FileHandle): Promise<void> {
  try {
    await folder.sync();
  } catch (error) {
    // Network and FUSE file systems that keep folders durable by themselves have no fsync for them.
    const code = systemCode(error);
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  }
}

/** Makes what was created, renamed or removed in a folder survive a power cut. Throws the system's errors. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await syncOpenFolder(folder);
  } finally {
    await folder.close();
  }
}

/** Creates a folder and those above it, as far as they are missing, so that they survive a power cut. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  const last = dirname(resolve(first));
  let folder = resolve(path);
  while (folder !== last) {
    folder = dirname(folder);
    await syncFolder(folder);
  }
}

async function keepPermissions(file: FileHandle, old: Stats): Promise<void> {
  try {
    await file.chown(old.uid, old.gid);
  } catch (error) {
    // Only root may give a file away; that the service then owns it is no reason to fail.
    if (systemCode(error) !== 'EPERM') throw error;
  }
  await file.chmod(old.mode & 0o7777);
}

async function writeWhole(path: string, text: string, old: Stats | undefined, mode: number): Promise<void> {
  // The mode is narrowed at creation already: nobody may read the file before its permissions are set.
  const file = await open(path, 'w', old ? old.mode & 0o777 : mode);
  try {
    await file.writeFile(text);
    if (old) await keepPermissions(file, old);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Replaces a file, or creates it, so that after a crash at any moment it holds either the old or the new text, and the
 * new one once this has resolved. Mode and, where allowed, owner of an existing file are kept.
 * Throws the system's errors (`ENOSPC`, …), with the old file in place; only when fsync of the folder fails (`EIO`) is
 * the new one there. One call at a time for a path: the temporary file has a fixed name.
 * @param mode permissions of a file that is new
 */
export async function replaceFile(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = temporaryOf(path);
  // Opened before the rename: afterwards nothing that can be foreseen may fail.
  const folder = await open(dirname(path), 'r');
  try {
    await writeWhole(temporary, text, await ifThere(stat(path)), mode);
    await rename(temporary, path);
    await syncOpenFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await folder.close();
  }
}
