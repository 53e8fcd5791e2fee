/**
 * How much memory the service takes for a file that is larger than any memory: an upload of 4 GiB, then 20 downloads of
 * it at once. Run it as `node dist/test/bench/memory.js`; it needs curl and 4 GiB of the temporary folder.
 */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../fixtures/process.js';
import { memoryOf, treeOf } from '../fixtures/process-tree.js';
import { type Bench, machine, print, withService } from './setup.js';

const bytes = 4 * 2 ** 30;
const clients = 20;
/** Megabytes: what is allowed beside the chunks of files that are kept (`chunkCache`). */
const limit = 150 + (128 * 2 ** 20) / 1e6;

async function curl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run('curl', ['-fsS', '--noproxy', '*', ...args]);
  if (code !== 0) throw new Error(`curl exits with ${String(code)}: ${stderr}`);
}

/** Megabytes of all processes of the service together. */
async function resident(pid: number): Promise<number> {
  return (await memoryOf((await treeOf(pid)).map((process) => process.pid))).pss / 1e6;
}

/** Says what a piece of work took. @returns its peak of memory in megabytes */
async function measured(pid: number, what: string, transferred: number, work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  let [megabytes, isDone] = [0, false];
  const watch = async () => {
    while (!isDone) {
      megabytes = Math.max(megabytes, await resident(pid));
      await delay(50);
    }
  };
  const watching = watch();
  await work().finally(() => (isDone = true));
  const seconds = (performance.now() - began) / 1000;
  await watching;
  const speed = (transferred / seconds / 1e9).toFixed(2);
  print(`${what}: peak ${megabytes.toFixed(0)} MB of memory, ${seconds.toFixed(1)} s, ${speed} GB/s`);
  return megabytes;
}

async function measure({ pid, north, south, folder }: Bench): Promise<void> {
  const url = `${south}/iso/big.iso`;
  const upload = () => curl('-T', join(folder, 'big'), '-o', '/dev/null', `${north}/iso?name=big.iso`);
  const download = () => curl('-o', '/dev/null', url);
  const peaks = [
    await measured(pid, 'idle', 0, () => curl('-o', '/dev/null', `${north}/images`)),
    await measured(pid, `PUT of ${bytes} bytes`, bytes, upload),
    await measured(pid, `${clients} GETs of it at once`, bytes * clients, () =>
      Promise.all(Array.from({ length: clients }, download)),
    ),
  ];
  const worst = Math.max(...peaks);
  print(
    `${worst < limit ? 'Holds' : 'FAILS'}: ${worst.toFixed(0)} MB at most, where ${limit.toFixed(0)} MB are allowed.`,
  );
  if (worst >= limit) process.exitCode = 1;
}

print(machine());
await withService(async (folder) => {
  await writeFile(join(folder, 'big'), '');
  await truncate(join(folder, 'big'), bytes);
}, measure);
