import { type Budget, readCost } from '../budget.js';
import type { Space } from './space.js';

/** Bytes that are read at once, and what lies between two blocks of one run at the most. */
const maxRunBytes = 2 ** 18;
const maxGapBytes = 2 ** 15;

/** Bytes of a run that cost as much as one directory record. */
const bytesPerUnit = 8192;

/** A block of the volume. */
interface Block {
  /** Where it is in the .iso. */
  readonly offset: number;
}

/** Blocks that lie near each other. */
export interface Run<T extends Block> {
  readonly blocks: readonly T[];
  /** Where it begins in the .iso. */
  readonly start: number;
  readonly bytes: Buffer;
}

interface Reading<T extends Block> {
  readonly blocks: readonly T[];
  readonly start: number;
  readonly bytes: Promise<Buffer>;
}

/** Which block is the first that is not read together with the one at `from`. */
function endOfRun(blocks: readonly Block[], from: number): number {
  const start = blocks[from]?.offset ?? 0;
  for (let to = from + 1, before = start; to < blocks.length; to++) {
    const next = blocks[to]?.offset ?? 0;
    if (next - before > maxGapBytes || next - start > maxRunBytes) return to;
    before = next;
  }
  return blocks.length;
}

/**
 * Reads blocks, neighbours at once, and each run while the one before it is looked at.
 * @param blocks in the order in which they lie on the disc
 * @throws ServiceError BROKEN_ISO when that costs more than the budget allows
 */
export async function* readRuns<T extends Block>(
  { read, blockSize }: Space,
  blocks: readonly T[],
  budget: Budget,
): AsyncGenerator<Run<T>, void, void> {
  const begin = (from: number): Reading<T> => {
    const run = blocks.slice(from, endOfRun(blocks, from));
    const start = run[0]?.offset ?? 0;
    const length = (run.at(-1)?.offset ?? 0) - start + blockSize;
    budget.spend(readCost + length / bytesPerUnit);
    const bytes = read(start, length);
    // It is awaited later: until then nobody else would see it fail.
    bytes.catch(() => undefined);
    return { blocks: run, start, bytes };
  };
  let next: Reading<T> | undefined;
  try {
    for (let from = 0; from < blocks.length;) {
      const run = next ?? begin(from);
      from += run.blocks.length;
      const bytes = await run.bytes;
      next = from < blocks.length ? begin(from) : undefined;
      yield { blocks: run.blocks, start: run.start, bytes };
    }
  } finally {
    // Whoever stops early may close the .iso.
    await next?.bytes.catch(() => undefined);
  }
}
