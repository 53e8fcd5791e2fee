/**
 * How long it takes from asking for an image of an ISO of 4 GB, which is in the store, to the first byte of a file in it,
 * beside the time that bsdtar and 7z take to extract the same ISO. Run it as `node dist/test/bench/extraction.js [FOLDER]`,
 * with a folder on the disk that is to be measured (the temporary folder unless given); it needs genisoimage, bsdtar
 * (libarchive-tools), 7z (7zip) and 13 GB there.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ask } from '../fixtures/client.js';
import { genisoimage } from '../fixtures/iso-tools.js';
import { run } from '../fixtures/process.js';
import { Random } from '../fixtures/random.js';
import { type Bench, firstByte, machine, print, spread, withService } from './setup.js';

const packages = 3000;
const packageBytes = 200_000;
/** Of these there are four: the root file systems of an installer. */
const imageBytes = 850_000_000;
const rounds = 3;
const wanted = `pool/section-${packages / 100 - 1}/package-99.deb`;

/** Bytes that cannot be compressed, and are no run of zeros anywhere. */
function noise(bytes: number): Buffer {
  const random = new Random(1);
  const block = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 32)
    createHash('sha256')
      .update(String(random.below(2 ** 31) + at))
      .digest()
      .copy(block, at);
  return block;
}

async function makeIso(folder: string): Promise<void> {
  const disc = join(folder, 'disc');
  const block = noise(10_000_000);
  for (let index = 0; index < packages; index++) {
    const section = join(disc, 'pool', `section-${Math.floor(index / 100)}`);
    await mkdir(section, { recursive: true });
    const start = (index * 3001) % (block.length - packageBytes);
    await writeFile(join(section, `package-${index % 100}.deb`), block.subarray(start, start + packageBytes));
  }
  for (let image = 0; image < 4; image++) {
    const file = await open(join(disc, `filesystem-${image}.squashfs`), 'w');
    for (let at = 0; at < imageBytes; at += block.length)
      await file.write(block, 0, Math.min(block.length, imageBytes - at));
    await file.close();
  }
  await genisoimage(join(folder, 'static/iso/large.iso'), disc, '-R', '-J', '-joliet-long');
  await rm(disc, { recursive: true });
}

/** Milliseconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function serve({ north, south }: Bench): Promise<number> {
  const image = '/images?name=os&version=1';
  const time = await timed(async () => {
    const added = await ask(north, `${image}&isostore=large.iso`, { method: 'PUT' });
    if (added.status !== 202 && added.status !== 201) throw new Error(added.text);
    await firstByte(`${south}/os/1/${wanted}`);
  });
  await ask(north, image, { method: 'DELETE' });
  return time;
}

async function extract(folder: string, program: string, args: readonly string[]): Promise<number> {
  const copy = join(folder, 'copy');
  await mkdir(copy);
  const time = await timed(async () => {
    const { code, stderr } = await run(program, args, { cwd: copy });
    if (code !== 0) throw new Error(`${program} exits with ${String(code)}: ${stderr}`);
  });
  await rm(copy, { recursive: true });
  return time;
}

async function measure(bench: Bench): Promise<void> {
  const iso = join(bench.folder, 'static/iso/large.iso');
  const ways: Readonly<Record<string, () => Promise<number>>> = {
    'image-service': () => serve(bench),
    'bsdtar -x': () => extract(bench.folder, 'bsdtar', ['-x', '-f', iso]),
    '7z x': () => extract(bench.folder, '7z', ['x', '-y', '-bd', iso]),
  };
  const figures = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, way] of Object.entries(ways)) figures.set(name, [...(figures.get(name) ?? []), await way()]);
  }
  print(`${rounds} rounds, the ISO in the page cache, from the start to the first byte of ${wanted}:`);
  const ours = spread(figures.get('image-service') ?? []).median;
  for (const [name, times] of figures) {
    const { median, worst } = spread(times);
    const ratio = name === 'image-service' ? '' : `, ${Math.round(median / ours)} times as long`;
    print(`  ${name}: median ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms${ratio}`);
  }
}

print(machine());
await withService(makeIso, measure);
