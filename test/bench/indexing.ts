/**
 * How long it takes to read the whole tree of an ISO of 50,000 entries, as a listing of every folder does, how much memory
 * that takes, and how long nothing else gets its turn meanwhile; each time in a process of its own, with nothing compiled
 * or kept yet. Run it as `node dist/test/bench/indexing.js`; it needs genisoimage and 400 MB of the temporary folder.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { directDriver } from '../../lib/mount/direct.js';
import { type ViewChoice, viewChoices } from '../../lib/mount/mount.js';
import type { Tree } from '../../lib/tree.js';
import { genisoimage } from '../fixtures/iso-tools.js';
import { findFolder } from '../fixtures/iso-tree.js';
import { nodeOptions, run } from '../fixtures/process.js';
import { machine, print, spread } from './setup.js';

const entries = 50_000;
const inFolder = 250;
const runs = 9;
/** Milliseconds for each tree, megabytes, milliseconds. */
const limits = { time: 500, memory: 100, block: 20 };

/** A bridge disc has the tree twice, and both are read. */
const views: readonly (readonly [what: string, view: ViewChoice, trees: number])[] = [
  ['Rock Ridge', 'rockridge', 1],
  ['UDF', 'udf', 1],
  ['Both trees of a bridge disc', 'auto', 2],
];

interface Figures {
  readonly found: number;
  readonly time: number;
  readonly memory: number;
  readonly block: number;
}

async function makeIso(folder: string): Promise<string> {
  const source = join(folder, 'source');
  // The folders are entries too.
  for (let section = 0; section < entries / (inFolder + 1); section++) {
    const packages = join(source, 'pool', `section-${section}`);
    await mkdir(packages, { recursive: true });
    const names = Array.from({ length: inFolder }, (_, index) => `package-number-${index}_1.0-1_amd64.deb`);
    await Promise.all(names.map((name) => writeFile(join(packages, name), `${section} ${name}`)));
  }
  const iso = join(folder, 'large.iso');
  await genisoimage(iso, source, '-R', '-udf');
  return iso;
}

async function countEntries(tree: Tree): Promise<number> {
  let count = 0;
  const waiting = [''];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    for (const { name, type } of await (await findFolder(tree, folder)).list()) {
      count++;
      if (type === 'folder') waiting.push(folder === '' ? name : `${folder}/${name}`);
    }
  }
  return count;
}

/** Megabytes that are resident now, or have been at most since the last reset (proc_pid_status(5)). */
async function resident(field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? NaN) / 1000;
}

/** In the process of its own. */
async function measure(path: string, view: ViewChoice): Promise<Figures> {
  // Milliseconds; what is waited for is not counted as a block.
  const resolution = 1;
  const delays = monitorEventLoopDelay({ resolution });
  delays.enable();
  await delay(100);
  // proc_pid_clear_refs(5): 5 sets the peak back to what is resident now.
  await writeFile('/proc/self/clear_refs', '5');
  const before = await resident('VmRSS');
  delays.reset();
  const began = performance.now();
  const mount = await directDriver.mount({ id: 'x', path, view });
  const found = await countEntries(mount.tree);
  const time = performance.now() - began;
  await delay(10);
  const block = delays.max / 1e6 - resolution;
  return { found, time, memory: (await resident('VmHWM')) - before, block };
}

async function measureElsewhere(path: string, view: ViewChoice): Promise<Figures> {
  const { code, stdout, stderr } = await run(process.execPath, [
    ...nodeOptions,
    fileURLToPath(import.meta.url),
    path,
    view,
  ]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Figures;
}

function say(what: string, figures: readonly number[], limit: number, unit: string): void {
  const { median, worst } = spread(figures);
  const holds = worst < limit;
  const verdict = holds ? 'Holds' : 'FAILS';
  print(`  ${verdict}: ${what}: median ${median.toFixed(1)} ${unit}, worst ${worst.toFixed(1)}, allowed ${limit}`);
  if (!holds) process.exitCode = 1;
}

async function report(path: string, ...[what, view, trees]: (typeof views)[number]): Promise<void> {
  const figures: Figures[] = [];
  for (let index = 0; index < runs; index++) figures.push(await measureElsewhere(path, view));
  const found = figures[0]?.found ?? 0;
  const { median } = spread(figures.map(({ time }) => time));
  print(`${what}, ${found} entries, ${runs} runs: ${Math.round((found / median) * 1000)} entries a second`);
  const column = (name: 'time' | 'memory' | 'block') => figures.map((one) => one[name]);
  say('the whole tree', column('time'), limits.time * trees, 'ms');
  say('peak of memory over the start', column('memory'), limits.memory, 'MB');
  say('longest block of the event loop', column('block'), limits.block, 'ms');
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'image-service-bench-'));
  try {
    print(machine());
    const iso = await makeIso(folder);
    for (const view of views) await report(iso, ...view);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const [path, text] = process.argv.slice(2);
const view = viewChoices.find((one) => one === text);
if (path !== undefined && view !== undefined) print(JSON.stringify(await measure(path, view)));
else await main();
