/**
 * How fast one file of 1 GB inside of an ISO is read by HTTP, through our reader and through fuseiso (`mount.driver` "fuse"),
 * which is otherwise the same service. Run it as `node dist/test/bench/fuse.js`; it needs genisoimage, fuseiso, curl and
 * 2 GB of the temporary folder.
 */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask } from '../fixtures/client.js';
import { genisoimage } from '../fixtures/iso-tools.js';
import { run, startProgram, type TestProcess } from '../fixtures/process.js';
import { machine, print, spread } from './setup.js';

const bytes = 1e9;
const rounds = 7;
const drivers = ['direct', 'fuse'] as const;
type Driver = (typeof drivers)[number];

async function makeIso(folder: string): Promise<string> {
  const disc = join(folder, 'disc');
  await mkdir(disc);
  const block = Buffer.alloc(1e7, 'not only zeros ');
  const file = await open(join(disc, 'filesystem.squashfs'), 'w');
  for (let at = 0; at < bytes; at += block.length) await file.write(block);
  await file.close();
  const iso = join(folder, 'large.iso');
  await genisoimage(iso, disc, '-R', '-J');
  await rm(disc, { recursive: true });
  return iso;
}

async function start(folder: string, iso: string, driver: Driver): Promise<TestProcess> {
  const own = join(folder, driver);
  await mkdir(join(own, 'static'), { recursive: true });
  const mount = { driver, dir: join(own, 'mounts') };
  const service = await startProgram(own, { minLogLevel: 1, mount });
  const url = `/images?name=os&version=1&isolocal=${iso}`;
  const added = await ask(service.north, url, { method: 'PUT', headers: { prefer: 'wait=60' } });
  if (added.status !== 201) throw new Error(added.text);
  return service;
}

/** @returns gigabytes a second */
async function download({ south }: TestProcess): Promise<number> {
  const began = performance.now();
  const url = `${south}/os/1/filesystem.squashfs`;
  const { code, stderr } = await run('curl', ['-fsS', '--noproxy', '*', '-o', '/dev/null', url]);
  if (code !== 0) throw new Error(`curl exits with ${String(code)}: ${stderr}`);
  return bytes / ((performance.now() - began) / 1000) / 1e9;
}

async function measure(services: Readonly<Record<Driver, TestProcess>>): Promise<void> {
  const figures: Record<Driver, number[]> = { direct: [], fuse: [] };
  for (const driver of drivers) await download(services[driver]);
  for (let round = 0; round < rounds; round++) {
    for (const driver of drivers) figures[driver].push(await download(services[driver]));
  }
  const [direct, fuse] = [spread(figures.direct).median, spread(figures.fuse).median];
  print(`GET of ${bytes} bytes out of an ISO in the page cache, median of ${rounds}:`);
  print(`  our reader: ${direct.toFixed(2)} GB/s`);
  print(`  fuseiso: ${fuse.toFixed(2)} GB/s`);
  print(`Our reader is ${(direct / fuse).toFixed(1)} times as fast.`);
}

const folder = await mkdtemp(join(tmpdir(), 'image-service-bench-'));
const services: TestProcess[] = [];
try {
  print(machine());
  const iso = await makeIso(folder);
  const direct = await start(folder, iso, 'direct');
  services.push(direct);
  const fuse = await start(folder, iso, 'fuse');
  services.push(fuse);
  await measure({ direct, fuse });
} finally {
  for (const service of services) await service.end('SIGTERM');
  await rm(folder, { recursive: true, force: true });
}
