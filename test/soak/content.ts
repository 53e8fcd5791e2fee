import { createCipheriv } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { smallIso } from '../fixtures/small-iso.js';

/** A file that the service has twice, and what is in it. */
export interface Expected {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Where the same files are: on the disk, and in an image. */
export const places = ['/files', '/disc/1'] as const;
export const isoName = 'disc.iso';

const sizes: Readonly<Record<string, number>> = {
  empty: 0,
  byte: 1,
  'vmlinuz.txt': 4096,
  'grub.cfg': 1500,
  'boot.efi': 100_001,
  'initrd.img': 3_000_000,
  // Together more than the cache, so that it always has something to let go of.
  'a.squashfs': 8 * 2 ** 20,
  'b.squashfs': 8 * 2 ** 20 + 1,
  'c.squashfs': 8 * 2 ** 20 + 4095,
  'd.squashfs': 8 * 2 ** 20 - 1,
};

/** Settings under which everything that has a bound comes to it within the first minute. */
export const settings = { minLogLevel: 1, chunkCache: 16 * 2 ** 20, httpTimeout: 20_000, stopTimeout: 2000 };

function noise(bytes: number, key: number): Buffer {
  const secret = Buffer.alloc(16);
  secret.writeInt32BE(key | 0);
  return createCipheriv('aes-128-ctr', secret, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

/** An ISO that holds one file. */
export function isoOf(seed: number): { readonly iso: Buffer; readonly kernel: Buffer } {
  const kernel = noise(300_000, seed);
  return { iso: smallIso({ kernel }), kernel };
}

/** Puts the files into the folder of the file server, and into an ISO of the store. */
export async function makeContent(folder: string, seed: number): Promise<readonly Expected[]> {
  const files = Object.entries(sizes).map(([name, size], index) => ({ name, bytes: noise(size, seed + index) }));
  await mkdir(join(folder, 'static/files'), { recursive: true });
  await mkdir(join(folder, 'static/iso'), { recursive: true });
  for (const { name, bytes } of files) await writeFile(join(folder, 'static/files', name), bytes);
  const contents = Object.fromEntries(files.map(({ name, bytes }) => [name, bytes]));
  await writeFile(join(folder, 'static/iso', isoName), smallIso(contents));
  return files;
}
