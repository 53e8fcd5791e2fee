/**
 * How long it takes from asking for an image, whose ISO of 10 GB and 30,000 entries is in the store, to the first byte
 * of a file in it. Run it as `node dist/test/bench/first-byte.js`, with `nice -n -19` before it on a busy machine; it
 * needs genisoimage, dd and 200 MB of the temporary folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once as event } from 'node:events';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ask } from '../fixtures/client.js';
import { run } from '../fixtures/process.js';
import { type Bench, firstByte, machine, print, spread, withService } from './setup.js';

const entries = 30_000;
const bytes = 10e9;
const runs = 20;
/** Milliseconds. */
const limit = 50;

const inFolder = 300;
/** In the last of the folders. */
const wanted = `/os/1/packages/${entries / inFolder - 1}/package-${inFolder - 1}.rpm`;

/** Writes a folder as an ISO whose zeros take no room on the disk. */
async function writeSparse(disc: string, iso: string): Promise<void> {
  const writer = spawn('genisoimage', ['-quiet', '-R', disc], { stdio: ['ignore', 'pipe', 'inherit'] });
  const dd = ['bs=1M', 'iflag=fullblock', 'conv=sparse', 'status=none', `of=${iso}`];
  const disk = spawn('dd', dd, { stdio: [writer.stdout, 'ignore', 'inherit'] });
  const ended = async (child: ChildProcess) => {
    const [code] = (await event(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`${child.spawnfile} exits with ${String(code)}`);
  };
  await Promise.all([ended(writer), ended(disk)]);
}

async function makeIso(folder: string): Promise<void> {
  const disc = join(folder, 'disc');
  for (let section = 0; section < entries / inFolder; section++) {
    const packages = join(disc, 'packages', String(section));
    await mkdir(packages, { recursive: true });
    await Promise.all(
      Array.from({ length: inFolder }, (_, index) => writeFile(join(packages, `package-${index}.rpm`), `${section}`)),
    );
  }
  for (let part = 0; part < 5; part++) {
    const file = join(disc, `squashfs-${part}.img`);
    await writeFile(file, '');
    await truncate(file, bytes / 5);
  }
  await writeSparse(disc, join(folder, 'static/iso/big.iso'));
}

interface Figures {
  readonly total: number;
  /** Until PUT had answered, which it does when the record is safely on the disk. */
  readonly put: number;
}

async function once({ north, south }: Bench): Promise<Figures> {
  const began = performance.now();
  const added = await ask(north, '/images?name=os&version=1&isostore=big.iso', { method: 'PUT' });
  const put = performance.now() - began;
  if (added.status !== 202 && added.status !== 201) throw new Error(added.text);
  await firstByte(south + wanted);
  const total = performance.now() - began;
  await ask(north, '/images?name=os&version=1', { method: 'DELETE' });
  return { total, put };
}

/** Takes a file out of the page cache, and no other. */
async function forget(file: string): Promise<void> {
  const { code, stderr } = await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0']);
  if (code !== 0) throw new Error(stderr);
}

const shown = (figures: readonly number[]) => {
  const { median, worst } = spread(figures);
  return `median ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms`;
};

/** @returns the worst of all, in milliseconds */
async function series(bench: Bench, what: string, before: () => Promise<void>): Promise<number> {
  const figures: Figures[] = [];
  for (let index = 0; index < runs; index++) {
    await before();
    figures.push(await once(bench));
  }
  const totals = figures.map(({ total }) => total);
  print(`${runs} runs, ${what}: ${shown(totals)}`);
  print(`  until PUT has answered: ${shown(figures.map(({ put }) => put))}`);
  print(`  from then to the first byte: ${shown(figures.map(({ total, put }) => total - put))}`);
  return spread(totals).worst;
}

/** What the disk takes for a record by itself: the floor under every PUT. */
async function measureDisk({ folder }: Bench): Promise<void> {
  const figures: number[] = [];
  for (let index = 0; index < runs; index++) {
    const file = await open(join(folder, 'synced'), 'w');
    const began = performance.now();
    await file.write('x'.repeat(300));
    await file.sync();
    figures.push(performance.now() - began);
    await file.close();
  }
  print(`for comparison, one fsync on this disk: ${shown(figures)}`);
}

async function measure(bench: Bench): Promise<void> {
  await measureDisk(bench);
  const first = await once(bench);
  print(
    `the first request of the process: ${first.total.toFixed(1)} ms, until PUT has answered: ${first.put.toFixed(1)} ms`,
  );
  const warm = await series(bench, 'the ISO in the page cache', () => Promise.resolve());
  const forgetIso = () => forget(join(bench.folder, 'static/iso/big.iso'));
  const cold = await series(bench, 'the ISO not in the page cache', forgetIso);
  const worst = Math.max(warm, cold);
  print(`${worst < limit ? 'Holds' : 'FAILS'}: ${worst.toFixed(1)} ms at most, where ${limit} ms are allowed.`);
  if (worst >= limit) process.exitCode = 1;
}

print(machine());
await withService(makeIso, measure);
