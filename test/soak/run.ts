/**
 * The service under mixed clients for a while: fast and slow readers, ranges, aborted downloads, half a header, kept
 * connections, uploads and deletes, and worker processes that are killed. Every whole answer is compared with what it must
 * be; in the end memory is as it was, no descriptor is left open, there is no zombie, and the service answers.
 * `npm run soak`, or `npm run soak -- MINUTES [SEED]`: 5 minutes unless given, and another seed each time, which is printed.
 * Exits with 1, and says why, when something was wrong.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startProgram, type TestProcess } from '../fixtures/process.js';
import { Random } from '../fixtures/random.js';
import { type Later, withUndo } from '../fixtures/undo.js';
import { waitFor } from '../fixtures/wait.js';
import { type World, clients } from './clients.js';
import { makeContent, places, settings } from './content.js';
import { addImage, checkNorth, keepUploading, uploadAndDelete } from './images.js';
import { Kills } from './kills.js';
import { Cut, read } from './reading.js';
import { type State, MemoryWatch, descriptorsOf, isFlat, leaksIn, stateOf } from './watch.js';

const [minutes = 5, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('usage: npm run soak -- [MINUTES] [SEED]');

/** At a time; as many as keep two cores busy, and yet leave the slow ones their turn. */
const clientCount = 40;
const mostProblems = 20;

const print = (line: string) => process.stdout.write(`${line}\n`);
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

/** What came of the clients so far. */
class Tally {
  done = 0;
  /** Connections that ended with a killed process. */
  excused = 0;
  readonly problems: string[] = [];

  constructor(private readonly kills: Kills) {}

  async attempt(what: string, work: () => Promise<void>): Promise<void> {
    const began = performance.now();
    try {
      await work();
      this.done++;
    } catch (error) {
      const isExcused = error instanceof Cut && this.kills.excuses(began);
      if (isExcused) this.excused++;
      else this.report(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  report(problem: string): void {
    this.problems.push(problem);
    if (this.problems.length <= mostProblems) print(`WRONG: ${problem}`);
  }
}

async function keepReading(world: World, random: Random, tally: Tally, until: number): Promise<void> {
  const kinds = Object.entries(clients);
  while (Date.now() < until) {
    const kind = kinds[random.below(kinds.length)];
    if (kind !== undefined) await tally.attempt(kind[0], () => kind[1](world, random));
  }
}

async function readEverything({ south, files }: World): Promise<void> {
  for (const place of places) {
    for (const { name, bytes } of files)
      await read({ base: south, path: `${place}/${name}`, status: 200, body: bytes });
  }
}

/** Waits until what is open stays the same, and tells what that is. */
async function atRest(main: number): Promise<State> {
  let last = await stateOf(main);
  for (let look = 0; look < 20; look++) {
    await delay(500);
    const state = await stateOf(main);
    if (JSON.stringify(state) === JSON.stringify(last)) return state;
    last = state;
  }
  return last;
}

/** Kills one worker process, and waits for the next: the main process may open something when it first does that. */
async function replaceOne(main: number): Promise<void> {
  const { workers } = await stateOf(main);
  const victim = workers[0]?.pid;
  if (victim === undefined) return;
  process.kill(victim, 'SIGKILL');
  await waitFor('another worker process', async () => {
    const now = await stateOf(main);
    return (
      now.workers.length === workers.length &&
      now.workers.every(({ pid }) => pid !== victim) &&
      now.zombies.length === 0
    );
  });
}

async function watchMemory(service: TestProcess, tally: Tally, kills: Kills, until: number): Promise<MemoryWatch> {
  const watch = new MemoryWatch();
  const main = service.child.pid ?? 0;
  const began = Date.now();
  for (let second = 1; Date.now() < until; second++) {
    await delay(Math.max(0, began + second * 1000 - Date.now()));
    const { pss, rss } = await watch.look(main);
    if (second % 10 !== 0) continue;
    const state = await stateOf(main);
    const processes = `${state.workers.length} workers, ${kills.count} killed, ${tally.excused} cut by that`;
    print(
      `${second} s: ${tally.done} done, ${tally.problems.length} wrong; ${processes}; ${descriptorsOf(state)} descriptors; PSS ${megabytes(pss)}, RSS ${megabytes(rss)}`,
    );
  }
  return watch;
}

/** All clients, until the time is over and each is done with what it began. */
async function soak(service: TestProcess, world: World, tally: Tally, kills: Kills): Promise<MemoryWatch> {
  const until = Date.now() + minutes * 60_000;
  const readers = Array.from({ length: clientCount }, (_, index) =>
    keepReading(world, new Random(seed + 100 * index), tally, until),
  );
  const [watch] = await Promise.all([
    watchMemory(service, tally, kills, until),
    kills.run(until),
    keepUploading(service, new Random(seed + 1), until, (what, work) => tally.attempt(what, work)),
    ...readers,
  ]);
  world.shared.destroy();
  return watch;
}

/** Waits, within bounds, until nothing more is open than before the clients came. */
async function checkLeaks(before: State, tally: Tally): Promise<void> {
  let after = await stateOf(before.main.pid);
  for (let second = 0; second < 20 && leaksIn(before, after).length > 0; second++) {
    await delay(1000);
    after = await stateOf(before.main.pid);
  }
  print(`Descriptors: ${descriptorsOf(before)} before, ${descriptorsOf(after)} after`);
  for (const problem of leaksIn(before, after)) tally.report(problem);
}

function checkMemory(watch: MemoryWatch, tally: Tally): void {
  const [early, late] = [watch.quarter(1), watch.quarter(3)];
  const figures = (['pss', 'rss'] as const).map(
    (name) => `${name.toUpperCase()} ${megabytes(early[name])}, then ${megabytes(late[name])}`,
  );
  print(`Memory, the middle of the second and of the last quarter: ${figures.join('; ')}`);
  if (!isFlat(early, late)) tally.report('memory grows');
}

async function prepare(later: Later): Promise<{ service: TestProcess; world: World }> {
  const folder = await mkdtemp(join(tmpdir(), 'image-service-soak-'));
  later(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  // The workers may be another user's.
  await chmod(folder, 0o755);
  const files = await makeContent(folder, seed);
  const service = await startProgram(folder, settings);
  later(() => service.end('SIGKILL'));
  await addImage(service.north);
  return { service, world: { south: service.south, files, shared: new Agent({ keepAlive: true }) } };
}

async function run(later: Later): Promise<void> {
  print(`Seed ${seed}, ${minutes} minutes, ${clientCount} clients`);
  const { service, world } = await prepare(later);
  // Each process has opened by then what it keeps open.
  for (let round = 0; round < 5; round++) await Promise.all([1, 2, 3, 4].map(() => readEverything(world)));
  await uploadAndDelete(service, 0);
  const main = service.child.pid ?? 0;
  await replaceOne(main);
  for (let round = 0; round < 5; round++) await readEverything(world);
  const before = await atRest(main);
  if (before.workers.length === 0) print('Skipped: no process is killed, as the service has no workers');
  const kills = new Kills(main, new Random(seed + 2));
  const tally = new Tally(kills);
  const watch = await soak(service, world, tally, kills);
  await tally.attempt('in the end', () => readEverything(world));
  await tally.attempt('in the end', () => checkNorth(service.north));
  await checkLeaks(before, tally);
  checkMemory(watch, tally);
  const { code } = await service.end('SIGTERM');
  if (code !== 0) tally.report(`the service ends with ${String(code)}: ${service.output().slice(-2000)}`);
  print(
    `${tally.done} done, ${kills.count} processes killed, ${tally.excused} cut by that, ${tally.problems.length} wrong`,
  );
  if (tally.problems.length > 0) process.exitCode = 1;
}

await withUndo(run);
