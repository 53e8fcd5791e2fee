import { createCipheriv } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../fixtures/process.js';
import { genisoimage } from '../../fixtures/iso-tools.js';

/** How large the files are, in bytes, and how many of a kind. */
export interface Sizes {
  readonly large: number;
  readonly small: number;
  readonly smallFiles: number;
  /** A file of the set that is larger than the cache. */
  readonly member: number;
  readonly members: number;
}

/** Where the files are, below the folder `files` or the root of the ISO. */
export const largePath = '/large';
export const smallPath = (index: number) => `/small/${index}`;
export const memberPath = (index: number) => `/set/${index}`;

/** The same files, for the file server and in an ISO of its store. */
export const plainPrefix = '/files';
export const isoPrefix = '/disc/1';
export const isoName = 'disc.iso';

/** Bytes without a pattern, another row for each key. */
export function noise(bytes: number, key: number): Buffer {
  const secret = Buffer.alloc(16);
  secret.writeUInt32BE(key);
  return createCipheriv('aes-128-ctr', secret, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

/** Makes the files below `static`, so that every user of the machine can read them. */
export async function makeFiles(folder: string, sizes: Sizes): Promise<void> {
  // The servers may give up the user who started them.
  await chmod(folder, 0o755);
  const files = join(folder, `static${plainPrefix}`);
  for (const name of ['static/iso', `static${plainPrefix}/small`, `static${plainPrefix}/set`]) {
    await mkdir(join(folder, name), { recursive: true });
  }
  await writeFile(files + largePath, noise(sizes.large, 0));
  for (let index = 0; index < sizes.smallFiles; index++) {
    await writeFile(files + smallPath(index), noise(sizes.small, 1000 + index));
  }
  for (let index = 0; index < sizes.members; index++) {
    await writeFile(files + memberPath(index), noise(sizes.member, 2000 + index));
  }
}

/** Puts the same files into an ISO in the store. */
export async function makeIso(folder: string): Promise<void> {
  await genisoimage(join(folder, 'static/iso', isoName), join(folder, `static${plainPrefix}`), '-R', '-J');
}

/** Waits until the disk has everything: writing it would go on during the measurements. */
export async function settle(folder: string): Promise<void> {
  const { code, stderr } = await run('sync', ['-f', folder]);
  if (code !== 0) throw new Error(stderr);
}
