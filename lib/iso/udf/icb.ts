import { timestamp } from '../times.js';
import { readTag, tags } from './tag.js';

/** File types of an ICB (ECMA-167 4/14.6.6, OSTA UDF 2.3.5.2). */
export const fileTypes = {
  unspecified: 0,
  folder: 4,
  bytes: 5,
  link: 12,
  realTime: 249,
  metadata: 250,
  mirror: 251,
} as const;

/** How an ICB tells where the data is, in the order of their numbers (ECMA-167 4/14.6.8). */
const forms = ['short', 'long', 'extended', 'inside'] as const;

/** Where the fields are that file entries (ECMA-167 4/14.9) and extended ones (4/14.17) have at different places. */
const layouts: ReadonlyMap<number | undefined, { readonly modified: number; readonly lengths: number }> = new Map([
  [tags.fileEntry, { modified: 84, lengths: 168 }],
  [tags.extendedFileEntry, { modified: 92, lengths: 208 }],
]);

/** Bytes of the largest file, in units of 4 GiB: 8 TiB. */
const maxSizeHigh = 2048;

/** A file entry: what a file is, how large, and where its bytes are. */
export interface Icb {
  readonly strategy: number;
  readonly fileType: number;
  /** Names that lead to it. */
  readonly links: number;
  readonly form: (typeof forms)[number];
  /** Bytes of the file. */
  readonly size: number;
  readonly modified: number | undefined;
  /** Its allocation descriptors, or, when `form` is `inside`, the data itself. */
  readonly area: Buffer;
  /** Where that begins in the block. */
  readonly areaAt: number;
}

/**
 * Reads the file entry that a block holds.
 * @param location the block's number in its partition
 * @returns undefined when it is none, when it is broken, or when the file has more than 8 TiB
 */
export function readIcb(block: Buffer, location: number): Icb | undefined {
  const layout = layouts.get(readTag(block, location));
  const form = forms[block.readUInt16LE(34) & 7];
  if (layout === undefined || form === undefined) return undefined;
  const high = block.readUInt32LE(60);
  const areaAt = layout.lengths + 8 + block.readUInt32LE(layout.lengths);
  const areaEnd = areaAt + block.readUInt32LE(layout.lengths + 4);
  if (areaEnd > block.length || high >= maxSizeHigh) return undefined;
  return {
    strategy: block.readUInt16LE(20),
    fileType: block.readUInt8(27),
    links: block.readUInt16LE(48),
    form,
    size: high * 2 ** 32 + block.readUInt32LE(56),
    modified: timestamp(block, layout.modified),
    area: block.subarray(areaAt, areaEnd),
    areaAt,
  };
}
