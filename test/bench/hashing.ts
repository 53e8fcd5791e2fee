/**
 * What the digest of an upload costs beside writing it: streams of 512 MiB to a file in memory, in turns with a hasher in
 * its thread, with a hash in the writing thread, and with neither. Run it as `node dist/test/bench/hashing.js`; it needs
 * 512 MiB of /dev/shm and two cores that have nothing else to do.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Hashing } from '../../lib/images/hashing.js';
import { pump } from '../../lib/images/pump.js';
import { machine, print, spread } from './setup.js';

const total = 2 ** 29;
/** Bytes that a socket gives at once. */
const chunkBytes = 64 * 1024;
const rounds = 3;

/** What becomes of the bytes beside the disk. */
interface Digesting {
  update(bytes: Buffer): Promise<void> | void;
  digest(): Promise<unknown> | string | undefined;
}

const hashing = new Hashing();
const none: Digesting = { update: () => undefined, digest: () => undefined };
const ways: Readonly<Record<string, () => Digesting>> = {
  'no digest': () => none,
  'sha256 in a thread': () => hashing.open(['sha256']),
  'sha256 in the writing thread': () => {
    const hash = createHash('sha256');
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') };
  },
};

/** A stream as a socket gives it: each chunk in memory of its own. */
function* chunks(): Generator<Buffer> {
  for (let sent = 0; sent < total; sent += chunkBytes) yield Buffer.allocUnsafeSlow(chunkBytes).fill(sent / chunkBytes);
}

/** @returns bytes a second */
async function writeOnce(file: FileHandle, digesting: Digesting): Promise<number> {
  let position = 0;
  const began = performance.now();
  await pump(Readable.from(chunks()), async (bytes) => {
    await Promise.all([file.write(bytes, 0, bytes.length, position), digesting.update(bytes)]);
    position += bytes.length;
  });
  await digesting.digest();
  return total / ((performance.now() - began) / 1000);
}

async function measure(file: FileHandle): Promise<void> {
  const speeds = new Map(Object.keys(ways).map((way): [string, number[]] => [way, []]));
  // The first one makes the file, which takes longer.
  await writeOnce(file, none);
  for (let round = 0; round < rounds; round++) {
    for (const [way, start] of Object.entries(ways)) {
      speeds.get(way)?.push(await writeOnce(file, start()));
    }
  }
  const base = spread(speeds.get('no digest') ?? []).median;
  for (const [way, each] of speeds) {
    const { median } = spread(each);
    print(`${way}: ${(median / 1e9).toFixed(2)} GB/s, ${(median / base).toFixed(2)} of the speed without`);
  }
}

print(machine());
const folder = await mkdtemp('/dev/shm/image-service-bench-');
const file = await open(join(folder, 'file'), 'w');
try {
  await measure(file);
} finally {
  await file.close();
  await rm(folder, { recursive: true });
  await hashing.stop();
}
