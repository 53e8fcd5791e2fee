import type { Budget } from '../budget.js';
import type { Extent } from '../entries.js';
import { addExtent } from '../extents.js';
import { allocate } from './allocation.js';
import { fileTypes, readIcb } from './icb.js';
import { type Partition, readBlock, type Space } from './space.js';

/** A partition whose blocks are those of a file: that is where folders and file entries are from UDF 2.50 on. */
export class MetadataPartition implements Partition {
  readonly blocks: number;
  readonly #starts: number[] = [];
  readonly #size: number;

  constructor(
    private readonly extents: readonly Extent[],
    private readonly blockSize: number,
  ) {
    let size = 0;
    for (const { length } of extents) {
      this.#starts.push(size);
      size += length;
    }
    this.#size = size;
    this.blocks = Math.floor(size / blockSize);
  }

  locate(block: number, length: number): Extent[] {
    const from = block * this.blockSize;
    const end = from + length;
    const located: Extent[] = [];
    if (end > this.#size) return located;
    for (let index = this.#indexOf(from); index < this.extents.length; index++) {
      const start = this.#starts[index] ?? 0;
      const extent = this.extents[index];
      if (extent === undefined || start >= end) break;
      const skip = Math.max(from - start, 0);
      const rest = Math.min(extent.length, end - start) - skip;
      addExtent(located, { offset: extent.offset < 0 ? extent.offset : extent.offset + skip, length: rest });
    }
    return located;
  }

  /** The extent that holds a byte: the last one that does not begin behind it. */
  #indexOf(byte: number): number {
    let [from, to] = [0, this.#starts.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#starts[middle] ?? 0) <= byte) from = middle + 1;
      else to = middle;
    }
    return Math.max(from - 1, 0);
  }
}

/**
 * Opens a metadata partition (OSTA UDF 2.2.10, 2.2.13) by its metadata file, or by the mirror of that.
 * @param partition the partition map of what the files lie in
 * @param blocks of the metadata file and its mirror
 * @returns undefined when neither can be read
 */
export async function openMetadata(
  space: Space,
  partition: number,
  blocks: readonly number[],
  budget: Budget,
): Promise<MetadataPartition | undefined> {
  for (const block of blocks) {
    const address = { partition, block };
    const bytes = await readBlock(space, address);
    const icb = bytes && readIcb(bytes, block);
    if (icb === undefined || (icb.fileType !== fileTypes.metadata && icb.fileType !== fileTypes.mirror)) continue;
    const { extents, missing } = await allocate(space, icb, address, budget);
    if (extents !== undefined && missing === 0) return new MetadataPartition(extents, space.blockSize);
  }
  return undefined;
}
