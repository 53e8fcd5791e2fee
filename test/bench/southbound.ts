/**
 * How the file server compares with nginx, caddy, and the packages send, sirv and serve-handler: throughput, time to the
 * first byte, CPU and memory, with files that all want, files that each wants for itself, small files, files inside of an
 * ISO, many slow clients and many idle ones. Run it as `node dist/test/bench/southbound.js [OPTION]... [FOLDER]`, with a
 * folder on the disk that the files are to be on (the temporary folder unless given):
 *
 *   --quick      fewer rounds and smaller files, in three minutes
 *   --only NAME  one measurement: one, hundred, different, small, fairness, memory, spread or idle
 *   --workers N  processes of ours and of nginx (one for each core, at most 4)
 *
 * It needs cc and libc6-dev, genisoimage, and 4 GB there; nginx and caddy are left out where they are not installed, and so
 * are the packages where npm cannot install them. Memory is PSS of all processes of a server. Ratios are the middle ones
 * of the rounds.
 *
 * nginx has the kernel send the file (sendfile(2)), which copies nothing; Node cannot, so that what ours sends is copied.
 * `copying` in the table is a server in C that does nothing else (southbound/copying.c): it copies the set larger than the
 * cache twice, from the file and into the socket, and all else once, from its memory. `bare Node` is the same on Node
 * (southbound/bare-node.ts). What is between nginx and these is the price of copying and of Node on this machine; what is
 * between them and ours is our own. `idle Node processes` are as many as ours that do nothing: the least memory of so many.
 * None of them has targets: where ours fails one, what they reach stands below it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isInstalled } from '../fixtures/installed.js';
import { treeOf } from '../fixtures/process-tree.js';
import { type Later, withUndo } from '../fixtures/undo.js';
import { machine, print } from './setup.js';
import { compile } from './southbound/compile.js';
import { largePath, makeFiles, makeIso, memberPath, plainPrefix, settle, smallPath } from './southbound/files.js';
import * as peers from './southbound/peers.js';
import { Results } from './southbound/results.js';
import { type Run, measureFairness, measureIdleNodes, measureLoad, measureMemory } from './southbound/rounds.js';
import { tableOf } from './southbound/table.js';
import { type Name, names, targets, titles, verdictOf } from './southbound/targets.js';

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' }, workers: { type: 'string' } },
  allowPositionals: true,
});
const { quick } = values;
if (values.only !== undefined && !names.some((name) => name === values.only)) {
  throw new Error(`There is no ${values.only}: ${names.join(', ')}`);
}
const workers = Number(values.workers ?? Math.min(availableParallelism(), 4));

const sizes = {
  large: 32 * 2 ** 20,
  small: 4096,
  smallFiles: 100,
  member: (quick ? 4 : 16) * 2 ** 20,
  members: 100,
};
const idleConnections = 5000;

function isWanted(...some: readonly Name[]): boolean {
  return values.only === undefined || some.some((name) => name === values.only);
}

const range = (length: number) => Array.from({ length }, (_, index) => index);
const set = range(sizes.members).map(memberPath);
const smallSet = range(sizes.smallFiles).map(smallPath);
const share = quick ? 0.5 : 1;
const loads = {
  one: { title: titles.one, connections: 1, requests: 100 * share, paths: [largePath], times: 3 },
  hundred: { title: titles.hundred, connections: 100, requests: 2 * share, paths: [largePath] },
  different: { title: titles.different, connections: 100, requests: 4 * share, paths: set },
  small: {
    title: titles.small,
    connections: 100,
    requests: 300 * share,
    paths: smallSet,
  },
};

/** All who are measured side by side. @returns the number of our processes */
async function measureOurs(
  later: Later,
  run: Run,
  folder: string,
  others: readonly peers.Contender[],
  hasIso: boolean,
): Promise<number> {
  const service = await peers.startOurs(later, folder, folder, workers);
  if (hasIso) await peers.addImage(service);
  const own = peers.ourContenders(service, hasIso);
  const bounds = await peers.startBounds(later, folder, Math.max(workers, 1), [largePath, ...smallSet]);
  const fast = others.filter(({ isSlow }) => !isSlow);
  for (const name of ['one', 'hundred', 'small'] as const) {
    // One client alone would not warm up all processes.
    const warmUp = loads[name === 'one' ? 'hundred' : name];
    if (isWanted(name)) await measureLoad(run, [...own, ...others, ...bounds], loads[name], warmUp);
  }
  if (isWanted('different')) await measureLoad(run, [...own, ...fast, ...bounds], loads.different);
  if (isWanted('fairness')) await measureFairness(run, [...own, ...fast], service);
  return (await treeOf(service.pid)).length;
}

async function measureBeside(later: Later, run: Run, folder: string, hasIso: boolean): Promise<void> {
  const others = await peers.startPeers(later, folder, Math.max(workers, 1));
  let processes = 0;
  await withUndo(async (end) => {
    processes = await measureOurs(end, run, folder, others, hasIso);
  });
  // Ours have ended: these share the memory of the program with as many others as ours did.
  if (isWanted('hundred')) await measureIdleNodes(run, titles.hundred, processes);
}

/** Each in a service of its own: memory that was once taken is not given back. */
async function measureAlone(run: Run, folder: string): Promise<void> {
  const slow = { connections: 1000, rate: 65536, time: quick ? 3 : 6 };
  const large = plainPrefix + largePath;
  const work = {
    memory: { ...slow, paths: [large] },
    spread: { ...slow, paths: set.map((path) => plainPrefix + path) },
    idle: { connections: idleConnections, hold: quick ? 3 : 10, paths: [plainPrefix + smallPath(0)] },
  };
  for (const name of ['memory', 'spread', 'idle'] as const) {
    if (!isWanted(name)) continue;
    await withUndo(async (end) => {
      const service = await peers.startOurs(end, join(folder, name), folder, workers);
      await measureMemory(run, service, titles[name], work[name]);
    });
  }
}

function report(results: Results, hasIso: boolean): void {
  for (const line of tableOf(results)) print(line);
  for (const target of targets(hasIso, idleConnections)) {
    const verdict = verdictOf(results, target);
    if (verdict === undefined) continue;
    for (const line of verdict.lines) print(line);
    if (!verdict.holds) process.exitCode = 1;
  }
}

print(machine());
await withUndo(async (later) => {
  const folder = await mkdtemp(join(positionals[0] ?? tmpdir(), 'image-service-bench-'));
  later(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const drain = await compile('drain', folder);
  const hasIso = await isInstalled('genisoimage');
  await makeFiles(folder, sizes);
  if (hasIso) await makeIso(folder);
  else print('Left out: files inside of an ISO, as genisoimage is not installed');
  await settle(folder);
  const run = { drain, results: new Results(), rounds: quick ? 3 : 5 };
  await withUndo((end) => measureBeside(end, run, folder, hasIso));
  await measureAlone(run, folder);
  print(`Side by side in ${run.rounds} rounds, ${workers} worker processes of ours and of nginx:`);
  report(run.results, hasIso);
});
