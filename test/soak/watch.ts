import { readdir, readlink } from 'node:fs/promises';
import { ifThere } from '../../lib/errors.js';
import { type Memory, memoryOf, treeOf } from '../fixtures/process-tree.js';

/** A process, and what it has open: files by path, and all else by kind. */
export interface Process {
  readonly pid: number;
  readonly open: readonly string[];
}

/** The processes of the service, at one time. */
export interface State {
  readonly main: Process;
  /** What the main process has started. */
  readonly workers: readonly Process[];
  readonly zombies: readonly number[];
}

async function openIn(pid: number): Promise<Process> {
  const folder = `/proc/${pid}/fd`;
  const names = (await ifThere(readdir(folder)).catch(() => undefined)) ?? [];
  const targets = await Promise.all(names.map((name) => ifThere(readlink(`${folder}/${name}`)).catch(() => undefined)));
  // Of a socket or a pipe it says a number that is another one each time.
  const open = targets.filter((target) => target !== undefined).map((target) => target.replace(/:\[\d+\]$/, ''));
  return { pid, open: open.sort() };
}

export async function stateOf(main: number): Promise<State> {
  const [, ...below] = await treeOf(main);
  const workers = below.filter(({ state }) => state !== 'Z');
  return {
    main: await openIn(main),
    workers: await Promise.all(workers.map(({ pid }) => openIn(pid))),
    zombies: below.filter(({ state }) => state === 'Z').map(({ pid }) => pid),
  };
}

/** How many descriptors each process has, the main process first. */
export function descriptorsOf({ main, workers }: State): string {
  return [main, ...workers].map(({ open }) => open.length).join(' + ');
}

/** What is open now and was not before, where there are more than before. */
function leakOf(what: string, before: readonly string[], after: readonly string[]): string[] {
  if (after.length <= before.length) return [];
  const rest = [...before];
  const added = after.filter((target) => {
    const index = rest.indexOf(target);
    if (index !== -1) rest.splice(index, 1);
    return index === -1;
  });
  return [
    `${what} has ${after.length} descriptors, where it had ${before.length}; more than before: ${added.join(', ')}`,
  ];
}

/** What is wrong with the processes after all clients have gone, compared with the time before they came. */
export function leaksIn(before: State, after: State): string[] {
  const problems: string[] = [];
  if (after.workers.length !== before.workers.length) {
    problems.push(`${after.workers.length} worker processes, where there were ${before.workers.length}`);
  }
  if (after.zombies.length > 0) problems.push(`zombies: ${after.zombies.join(', ')}`);
  problems.push(...leakOf('the main process', before.main.open, after.main.open));
  // Those that were killed are others now: each is compared with the one that had most.
  const [most = { open: [] }] = [...before.workers].sort((a, b) => b.open.length - a.open.length);
  for (const { open } of after.workers) problems.push(...leakOf('a worker process', most.open, open));
  return problems;
}

function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? NaN;
}

/** The memory of all processes, from the first client to the last. */
export class MemoryWatch {
  readonly #looks: Memory[] = [];

  async look(main: number): Promise<Memory> {
    const memory = await memoryOf((await treeOf(main)).map(({ pid }) => pid));
    this.#looks.push(memory);
    return memory;
  }

  /** The middle of a quarter of the time (0 to 3). One look more or less, as after a kill, does not move it. */
  quarter(index: number): Memory {
    const [from, to] = [index, index + 1].map((quarter) => Math.floor((this.#looks.length * quarter) / 4));
    const looks = this.#looks.slice(from, to);
    return { pss: median(looks.map(({ pss }) => pss)), rss: median(looks.map(({ rss }) => rss)) };
  }
}

/** Whether memory stayed what it was: a heap breathes by some megabytes. */
export function isFlat(early: Memory, late: Memory): boolean {
  return late.pss <= early.pss * 1.15 + 16e6;
}
