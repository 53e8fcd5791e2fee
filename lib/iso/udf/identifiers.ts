import type { Address } from './space.js';
import { hasTag, tags } from './tag.js';

/** Bytes of a file identifier descriptor before its implementation use and its name (ECMA-167 4/14.4). */
const headerBytes = 38;

/** Descriptors begin at multiples of 4 bytes. */
const alignment = 4;

/** What an identifier begins with: the number of its tag. */
const firstBytes = [tags.fileIdentifier & 0xff, tags.fileIdentifier >> 8] as const;

/** Bytes in which no descriptor is found, after which the reader is told of them: a millisecond of work. */
const longestSearch = 65_536;

/** Bytes of the longest descriptor (ECMA-167 4/14.4). */
export const longestIdentifier = headerBytes + 0xffff + 0xff;

/** File characteristics (ECMA-167 4/14.4.3). */
export const characteristics = { hidden: 1, deleted: 4, parent: 8 } as const;

/** A name in a folder, and the file entry that it stands for (ECMA-167 4/14.4). */
export interface FileIdentifier {
  readonly characteristics: number;
  readonly icb: Address;
  /** Where the name is in the folder's data. */
  readonly nameFrom: number;
  readonly nameTo: number;
}

/** Where a descriptor ends; undefined when there is none. */
function endOf(data: Buffer, at: number): number | undefined {
  if (at + headerBytes > data.length || !hasTag(data, at, tags.fileIdentifier)) return undefined;
  const end = at + headerBytes + data.readUInt16LE(at + 36) + data.readUInt8(at + 19);
  return end > data.length ? undefined : end;
}

function identifierAt(data: Buffer, at: number, nameTo: number): FileIdentifier {
  return {
    characteristics: data.readUInt8(at + 18),
    icb: { partition: data.readUInt16LE(at + 28), block: data.readUInt32LE(at + 24) },
    nameFrom: nameTo - data.readUInt8(at + 19),
    nameTo,
  };
}

function align(at: number): number {
  return at + ((alignment - (at % alignment)) % alignment);
}

/** Where behind a place the next descriptor may begin, as far as is searched at once. */
function findNext(data: Buffer, at: number): number {
  const [first, second] = firstBytes;
  const to = Math.min(at + longestSearch, data.length);
  for (let next = at + alignment; next < to; next += alignment) {
    if (data[next] === first && data[next + 1] === second) return next;
  }
  return align(to);
}

/**
 * The descriptors in a piece of a folder's data. Behind one that is broken the next is looked for; undefined stands for
 * a long search.
 * @param to what begins from here on is left to the next piece
 * @returns where that begins
 */
export function* readIdentifiers(data: Buffer, to = data.length): Generator<FileIdentifier | undefined, number> {
  let searched = 0;
  let at = 0;
  while (at < to && at + headerBytes <= data.length) {
    const end = endOf(data, at);
    if (end !== undefined) {
      yield identifierAt(data, at, end);
      at = align(end);
      continue;
    }
    const next = findNext(data, at);
    searched += next - at;
    at = next;
    if (searched < longestSearch) continue;
    searched = 0;
    yield undefined;
  }
  return Math.max(at, to);
}
