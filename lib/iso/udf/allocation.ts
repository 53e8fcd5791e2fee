import { type Budget, readCost } from '../budget.js';
import { type Extent, hole } from '../entries.js';
import { addExtent } from '../extents.js';
import type { Icb } from './icb.js';
import { type Address, isInside, locateBlock, type Space } from './space.js';
import { readTag, tags } from './tag.js';

/** Extents of the most fragmented file that is served. */
export const maxExtents = 65_536;

/** What a piece of the disc costs where a directory record costs 1; one that is kept takes as much memory as a record. */
const pieceCost = 1 / 16;
const extentCost = 1;

/** What the top two bits of an extent's length say (ECMA-167 4/14.14.1.1); 1 is allocated but not recorded. */
const extentTypes = { recorded: 0, continuation: 3 } as const;

const descriptorBytes = { short: 8, long: 16 } as const;

/** Bytes of an allocation extent descriptor before its allocation descriptors (ECMA-167 4/14.5). */
const headerBytes = 24;

/** Where a file's bytes are. */
export interface Allocated {
  /** Undefined when the file cannot be served: its descriptors are broken, or lead out of the .iso. */
  readonly extents: Extent[] | undefined;
  /** Bytes at the end of the file that no descriptor is for: Linux shows zeros. */
  readonly missing: number;
  /** The highest byte of the .iso that they claim. */
  readonly end: number;
}

/** Follows the allocation descriptors of one file (ECMA-167 4/12). */
class Allocation {
  readonly #extents: Extent[] = [];
  /** Bytes that the descriptors so far are for, and those of the blocks that they begin or fill. */
  #described = 0;
  #mapped = 0;
  #end = 0;
  #isBroken = false;

  constructor(
    private readonly space: Space,
    private readonly partition: number,
    private readonly form: 'short' | 'long',
    private readonly size: number,
    private readonly budget: Budget,
  ) {}

  get result(): Allocated {
    return { extents: this.#isBroken ? undefined : this.#extents, missing: this.#left, end: this.#end };
  }

  /** What is left of the file when its descriptors cannot be followed any more. */
  get broken(): Allocated {
    return { extents: undefined, missing: 0, end: this.#end };
  }

  get #left(): number {
    return this.size - this.#mapped;
  }

  /** Takes descriptors, as far as the file goes. @returns the block where they go on */
  take(area: Buffer): Address | undefined {
    const step = descriptorBytes[this.form];
    for (let at = 0; at + step <= area.length && this.#left > 0 && !this.#isBroken; at += step) {
      const length = area.readUInt32LE(at) & 0x3fffffff;
      const type = area.readUInt32LE(at) >>> 30;
      const partition = this.form === 'long' ? area.readUInt16LE(at + 8) : this.partition;
      const address = { partition, block: area.readUInt32LE(at + 4) };
      // An extent of no bytes ends the list.
      if (length === 0) return undefined;
      if (type === extentTypes.continuation) return address;
      this.#add(type, address, length);
    }
    return undefined;
  }

  #add(type: number, { partition, block }: Address, length: number): void {
    const used = this.#advance(length);
    this.budget.spend(pieceCost);
    if (used === 0) return;
    const located =
      type === extentTypes.recorded ? this.#locate(partition, block, used) : [{ offset: hole, length: used }];
    if (located.length === 0) this.#isBroken = true;
    const before = this.#extents.length;
    for (const extent of located) this.#push(extent);
    this.budget.spend(pieceCost * located.length + extentCost * (this.#extents.length - before));
    if (this.#extents.length > maxExtents) this.#isBroken = true;
  }

  /**
   * Only the last extent may end inside a block (ECMA-167 4/12.1). Of others Linux shows the whole block, as a block of
   * a file is where the extent is that its first byte belongs to.
   * @returns how many bytes of an extent are shown: what is beyond the end of the file is no part of it
   */
  #advance(length: number): number {
    const { blockSize } = this.space;
    this.#described += length;
    const before = this.#mapped;
    this.#mapped = Math.min(Math.ceil(this.#described / blockSize) * blockSize, this.size);
    return this.#mapped - before;
  }

  #locate(partition: number, block: number, length: number): Extent[] {
    return this.space.partitions[partition]?.locate(block, length) ?? [];
  }

  #push(extent: Extent): void {
    if (extent.offset !== hole) {
      this.#end = Math.max(this.#end, extent.offset + extent.length);
      if (!isInside(this.space, extent)) this.#isBroken = true;
    }
    if (!this.#isBroken) addExtent(this.#extents, extent);
  }
}

const nothing: Allocated = { extents: undefined, missing: 0, end: 0 };

/** The data of a file that is as short as to have room in its file entry: as in Linux, all of it or nothing. */
function insideOf({ size, area, areaAt }: Icb, blockAt: number): Allocated {
  if (size !== area.length) return nothing;
  const extents = size === 0 ? [] : [{ offset: blockAt + areaAt, length: size }];
  return { extents, missing: 0, end: 0 };
}

/** The allocation descriptors of an allocation extent descriptor (ECMA-167 4/14.5); undefined when it is none. */
function readMore(block: Buffer, address: Address): Buffer | undefined {
  if (readTag(block, address.block) !== tags.allocationExtent) return undefined;
  const end = headerBytes + block.readUInt32LE(20);
  return end > block.length ? undefined : block.subarray(headerBytes, end);
}

async function followAll(space: Space, allocation: Allocation, first: Address, budget: Budget): Promise<Allocated> {
  const seen = new Set<number>();
  for (let next: Address | undefined = first; next !== undefined;) {
    const offset = locateBlock(space, next);
    // A list that comes back to where it was has no end.
    if (offset === undefined || seen.has(offset)) return allocation.broken;
    if (offset + space.blockSize > space.bytes) return { ...nothing, end: offset + space.blockSize };
    seen.add(offset);
    budget.spend(readCost);
    const area = readMore(await space.read(offset, space.blockSize), next);
    if (area === undefined) return allocation.broken;
    next = allocation.take(area);
  }
  return allocation.result;
}

/**
 * Finds out where a file's bytes are; waits only where its descriptors go on in other blocks.
 * @param address of its file entry
 * @throws ServiceError BROKEN_ISO when that is more work than the budget allows
 */
export function allocate(space: Space, icb: Icb, address: Address, budget: Budget): Allocated | Promise<Allocated> {
  const { form } = icb;
  if (form === 'extended') return nothing;
  if (form === 'inside') return insideOf(icb, locateBlock(space, address) ?? 0);
  const allocation = new Allocation(space, address.partition, form, icb.size, budget);
  const next = allocation.take(icb.area);
  return next === undefined ? allocation.result : followAll(space, allocation, next, budget);
}
