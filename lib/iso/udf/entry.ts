import { ServiceError } from '../../errors.js';
import { type Budget, readCost } from '../budget.js';
import { type Extent, hole, type IsoFile, type IsoLink } from '../entries.js';
import { addExtent } from '../extents.js';
import { maxFolderBytes } from '../folder.js';
import { type Allocated, allocate } from './allocation.js';
import { fileTypes, type Icb, readIcb } from './icb.js';
import { maxLinkBytes, readTarget } from './link.js';
import { type Address, locateBlock, readBlock, type Space } from './space.js';

/** What a file entry says about a folder. */
export interface FolderData {
  readonly type: 'folder';
  /** Where the file entry is, and where that is in the .iso. */
  readonly address: Address;
  readonly offset: number;
  /** Where the folder's file identifiers are. */
  readonly extents: readonly Extent[];
  /** Bytes of those. */
  readonly size: number;
  readonly modified: number | undefined;
}

export interface Described {
  /** Undefined for what is not served: a device, or what is broken. */
  readonly entry: IsoFile | IsoLink | FolderData | undefined;
  /** The highest byte of the .iso that the file entry claims. */
  readonly end: number;
}

/** Extents that are passed over for as much as a directory record costs. */
const extentsPerUnit = 16;

const kinds: ReadonlyMap<number, 'file' | 'folder' | 'link'> = new Map([
  [fileTypes.unspecified, 'file'],
  [fileTypes.bytes, 'file'],
  [fileTypes.realTime, 'file'],
  [fileTypes.folder, 'folder'],
  [fileTypes.link, 'link'],
]);

/** The only one that UDF allows beside 4096, which is for discs that can be written once (OSTA UDF 2.3.5.1). */
const knownStrategy = 4;

/** The part of some extents that a run of their bytes is. */
function cutExtents(extents: readonly Extent[], from: number, length: number): Extent[] {
  const parts: Extent[] = [];
  let start = 0;
  for (const extent of extents) {
    const skip = Math.max(from - start, 0);
    const rest = Math.min(extent.length, from + length - start) - skip;
    if (rest > 0) parts.push({ offset: extent.offset === hole ? hole : extent.offset + skip, length: rest });
    start += extent.length;
  }
  return parts;
}

/**
 * Reads some of the data of a folder or a link.
 * @param from where that begins in the data
 * @param length bytes, which the extents have
 */
export async function readData(
  space: Space,
  extents: readonly Extent[],
  from: number,
  length: number,
  budget: Budget,
): Promise<Buffer> {
  const parts = cutExtents(extents, from, length);
  budget.spend(readCost * parts.length + extents.length / extentsPerUnit);
  const [only, ...more] = parts;
  if (only !== undefined && more.length === 0 && only.offset !== hole) return space.read(only.offset, only.length);
  const data = Buffer.alloc(length);
  let at = 0;
  for (const part of parts) {
    if (part.offset !== hole) (await space.read(part.offset, part.length)).copy(data, at);
    at += part.length;
  }
  return data;
}

async function linkOf(space: Space, icb: Icb, extents: Extent[], budget: Budget): Promise<IsoLink | undefined> {
  if (icb.size > maxLinkBytes) return undefined;
  const data =
    icb.form === 'inside' ? icb.area.subarray(0, icb.size) : await readData(space, extents, 0, icb.size, budget);
  const target = readTarget(data);
  return target === undefined ? undefined : { type: 'link', target, modified: icb.modified };
}

/** Everything that is known of a file entry before its bytes are looked at. */
interface Origin {
  readonly space: Space;
  readonly address: Address;
  readonly offset: number;
  readonly icb: Icb;
  readonly kind: 'file' | 'folder' | 'link';
  readonly budget: Budget;
}

function finish(origin: Origin, { extents, missing, end }: Allocated): Described | Promise<Described> {
  const { space, address, offset, icb, kind, budget } = origin;
  const { size, modified } = icb;
  if (extents === undefined) return { entry: undefined, end };
  addExtent(extents, { offset: hole, length: missing });
  switch (kind) {
    case 'file':
      return { entry: { type: 'file', extents, size, modified }, end };
    case 'folder':
      if (size > maxFolderBytes) return { entry: undefined, end };
      return { entry: { type: 'folder', address, offset, extents, size, modified }, end };
    case 'link':
      return linkOf(space, icb, extents, budget).then((entry) => ({ entry, end }));
  }
}

/**
 * Tells what a file entry stands for; waits only where that is not said in its own block.
 * @param block the bytes of that
 * @param offset where it is in the .iso
 * @throws ServiceError BROKEN_ISO when that is more work than the budget allows
 */
export function describe(
  space: Space,
  block: Buffer,
  offset: number,
  address: Address,
  budget: Budget,
): Described | Promise<Described> {
  const icb = readIcb(block, address.block);
  const kind = icb && kinds.get(icb.fileType);
  // As in Linux, what has no links was deleted.
  if (kind === undefined || icb?.strategy !== knownStrategy || icb.links === 0) return { entry: undefined, end: 0 };
  const origin = { space, address, offset, icb, kind, budget };
  const allocated = allocate(space, icb, address, budget);
  return allocated instanceof Promise ? allocated.then((all) => finish(origin, all)) : finish(origin, allocated);
}

/**
 * Reads the file entry of a folder.
 * @throws ServiceError BROKEN_ISO when it is none, or more work than the budget allows
 */
export async function describeFolder(space: Space, address: Address, budget: Budget): Promise<FolderData> {
  budget.spend(readCost);
  const block = await readBlock(space, address);
  const offset = locateBlock(space, address);
  if (block !== undefined && offset !== undefined) {
    const { entry } = await describe(space, block, offset, address, budget);
    if (entry?.type === 'folder') return entry;
  }
  throw new ServiceError('BROKEN_ISO', 'The file entry of a folder of the UDF volume is missing or broken');
}
