import { setTimeout as delay } from 'node:timers/promises';
import { cpuSecondsOf, memoryOf, treeOf } from '../../fixtures/process-tree.js';
import { withUndo } from '../../fixtures/undo.js';
import { print } from '../setup.js';
import { type Drain, runDrain, startDrain, stopDrain } from './drain.js';
import { largePath } from './files.js';
import { type Contender, type OurServer, idleNodes, ours, type Server, startIdleNodes } from './peers.js';
import type { Results, Sample } from './results.js';

/** Clients that want files, as fast as they come. */
export interface Load {
  readonly title: string;
  readonly connections: number;
  /** Of each connection. */
  readonly requests: number;
  readonly paths: readonly string[];
  /** How many times as many rounds as the others it has: with few clients a round says less. */
  readonly times?: number;
}

export interface Run {
  readonly drain: string;
  readonly results: Results;
  readonly rounds: number;
}

/** Tells who waits what is going on; it is no result. */
function announce(title: string): void {
  process.stderr.write(`… ${title}\n`);
}

/** Milliseconds between two looks at the memory of a server. */
const lookEvery = 100;

async function pssOf({ pid }: Server): Promise<number> {
  return (await memoryOf((await treeOf(pid)).map((process) => process.pid))).pss;
}

/** The most memory that a server has while something is done. */
async function peakDuring<T>(server: Server, work: () => Promise<T>): Promise<{ result: T; peak: number }> {
  const pids = (await treeOf(server.pid)).map(({ pid }) => pid);
  let peak = 0;
  let isDone = false;
  const look = async () => {
    while (!isDone) {
      peak = Math.max(peak, (await memoryOf(pids)).pss);
      await delay(lookEvery);
    }
  };
  const looking = look();
  try {
    return { result: await work(), peak };
  } finally {
    isDone = true;
    await looking;
  }
}

function put(drain: string, { server, prefix, isSlow }: Contender, load: Load) {
  const requests = isSlow ? Math.ceil(load.requests / 3) : load.requests;
  const paths = load.paths.map((path) => prefix + path);
  return runDrain(drain, { port: server.port, paths, connections: load.connections, requests });
}

async function measure(drain: string, contender: Contender, load: Load): Promise<Sample> {
  const { pid } = contender.server;
  const before = await cpuSecondsOf(pid);
  const result = await put(drain, contender, load);
  const cpuSeconds = (await cpuSecondsOf(pid)) - before;
  return {
    speed: result.bytes / result.seconds,
    answersPerSecond: result.answers / result.seconds,
    firstByte: result.firstByte.p99,
    cpu: cpuSeconds / (result.bytes / 1e9),
  };
}

/** The contenders in another order each time: who follows on whom must not matter. */
function inTurn<T>(contenders: readonly T[], round: number): T[] {
  const first = round % contenders.length;
  return [...contenders.slice(first), ...contenders.slice(0, first)];
}

/** How often a load is put on each one before it is measured. */
const warmUps = 2;

/**
 * Puts a load on each contender in turn, several times.
 * @param warmUp the load that goes before: what is compiled and kept after many requests is not what the first ones find
 */
export async function measureLoad(
  { drain, results, rounds }: Run,
  contenders: readonly Contender[],
  load: Load,
  warmUp = load,
): Promise<void> {
  announce(load.title);
  for (let time = 0; time < warmUps; time++) {
    for (const contender of contenders) await put(drain, contender, warmUp);
  }
  for (let round = 0; round < rounds * (load.times ?? 1); round++) {
    for (const contender of inTurn(contenders, round)) {
      results.add(load.title, contender.name, await measure(drain, contender, load));
      await delay(50);
    }
  }
  // By itself: the kernel counts the more slowly the more memory a server has, and keeps a processor from it meanwhile.
  for (const contender of contenders) {
    const { peak } = await peakDuring(contender.server, () => put(drain, contender, load));
    results.add(load.title, contender.name, { memory: peak });
  }
}

export const fairness = 'a new client, while 100 download 32 MiB files';
/** For so many seconds at most: where each waits long there are fewer. */
const probes = { connections: 1, requests: 150, isFresh: true, pause: 5, time: 3 };

async function probe(drain: string, { server, prefix }: Contender, north: OurServer | undefined): Promise<Sample> {
  const paths = [prefix + largePath];
  const background = startDrain(drain, { port: server.port, paths, connections: 100, requests: 1_000_000 });
  try {
    await delay(300);
    const south: Drain = { ...probes, port: server.port, paths, range: '0-65535' };
    const [first, managed] = await Promise.all([
      runDrain(drain, south),
      north && runDrain(drain, { ...probes, port: north.northPort, paths: ['/images'] }),
    ]);
    return { firstByte: first.firstByte.p99, ...(managed && { northbound: managed.firstByte.p99 }) };
  } finally {
    await stopDrain(background);
  }
}

/** How long newcomers wait while 100 clients download, and who looks at the images northbound. */
export async function measureFairness(run: Run, contenders: readonly Contender[], service: OurServer): Promise<void> {
  announce(fairness);
  for (let round = 0; round < run.rounds; round++) {
    for (const contender of inTurn(contenders, round)) {
      const north = contender.server === service ? service : undefined;
      run.results.add(fairness, contender.name, await probe(run.drain, contender, north));
    }
  }
}

/** Memory of a service that is new but for the first request, with clients that take a while. */
export async function measureMemory(
  run: Run,
  server: Server,
  title: string,
  drain: Omit<Drain, 'port'>,
): Promise<void> {
  announce(title);
  for (const path of drain.paths.slice(0, 1)) await runDrain(run.drain, { port: server.port, paths: [path] });
  await delay(1000);
  const idle = await pssOf(server);
  const { result, peak } = await peakDuring(server, () => runDrain(run.drain, { ...drain, port: server.port }));
  if (result.errors > 0) print(`${title}: ${result.errors} of the connections were closed`);
  run.results.add(title, ours, {
    ...{ memory: peak, overIdle: peak - idle, held: result.held },
    ...(drain.rate !== undefined && { speed: result.bytes / result.seconds }),
  });
}

/** Memory of so many Node processes that do nothing, as a row of a measurement: the least that as many can have. */
export async function measureIdleNodes(run: Run, title: string, count: number): Promise<void> {
  await withUndo(async (later) => {
    const pids = await startIdleNodes(later, count);
    await delay(1000);
    run.results.add(title, idleNodes, { memory: (await memoryOf(pids)).pss });
  });
}
