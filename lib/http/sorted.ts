import { Turns } from '../turns.js';

/** Items that are sorted at once, which takes a millisecond or two. */
const runLength = 1000;

type Compare<T> = (a: T, b: T) => number;

/** Two sorted runs as one; among equals those of the first come first. */
function* merge<T>(first: Iterable<T>, second: Iterable<T>, compare: Compare<T>): Generator<T> {
  const others = second[Symbol.iterator]();
  let other = others.next();
  for (const item of first) {
    for (; other.done !== true && compare(other.value, item) < 0; other = others.next()) yield other.value;
    yield item;
  }
  for (; other.done !== true; other = others.next()) yield other.value;
}

function mergeAll<T>(runs: readonly Iterable<T>[], compare: Compare<T>): Iterable<T> {
  const [only = [], ...more] = runs;
  if (more.length === 0) return only;
  const half = runs.length >>> 1;
  return merge(mergeAll(runs.slice(0, half), compare), mergeAll(runs.slice(half), compare), compare);
}

/**
 * Sorts any number of items without holding up the event loop: the rest of the work is done while they are taken.
 * Stable, like Array.prototype.sort; what it is given stays as it is.
 */
export async function sorted<T>(items: readonly T[], compare: Compare<T>): Promise<Iterable<T>> {
  const turns = new Turns();
  const runs: T[][] = [];
  for (let start = 0; start < items.length; start += runLength) {
    if (turns.isDue) await turns.take();
    runs.push(items.slice(start, start + runLength).sort(compare));
  }
  return mergeAll(runs, compare);
}
