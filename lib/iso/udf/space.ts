import type { Extent, ReadAt } from '../entries.js';

/** A partition of a logical volume, as its partition map describes it (OSTA UDF 2.2.8 to 2.2.10). */
export interface Partition {
  /** Logical blocks. */
  readonly blocks: number;
  /**
   * Where bytes are in the .iso, which may be outside of it.
   * @param block where they begin
   * @param length bytes
   * @returns none where the partition does not have them
   */
  locate(block: number, length: number): Extent[];
}

/** A logical block of a partition (ECMA-167 4/7.1). */
export interface Address {
  /** The number of its partition map. */
  readonly partition: number;
  readonly block: number;
}

/** What a volume is read from. */
export interface Disc {
  readonly read: ReadAt;
  /** Bytes of the .iso. */
  readonly bytes: number;
  /** Bytes of a logical block, which is a logical sector too. */
  readonly blockSize: number;
}

/** The blocks of a logical volume, and where they are. */
export interface Space extends Disc {
  readonly partitions: readonly Partition[];
}

/** Whether an extent is not beyond the end of the .iso. */
export function isInside({ bytes }: Disc, { offset, length }: Extent): boolean {
  return offset + length <= bytes;
}

/** Where a single block is, in or outside of the .iso; undefined when it is nowhere, or in no one piece. */
export function locateBlock({ partitions, blockSize }: Space, { partition, block }: Address): number | undefined {
  const home = partitions[partition];
  if (home === undefined || block >= home.blocks) return undefined;
  const [extent] = home.locate(block, blockSize);
  return extent !== undefined && extent.offset >= 0 && extent.length === blockSize ? extent.offset : undefined;
}

/** Reads a block; undefined when it is not in the .iso. */
export async function readBlock(space: Space, address: Address): Promise<Buffer | undefined> {
  const offset = locateBlock(space, address);
  const { blockSize } = space;
  if (offset === undefined || !isInside(space, { offset, length: blockSize })) return undefined;
  return space.read(offset, blockSize);
}
