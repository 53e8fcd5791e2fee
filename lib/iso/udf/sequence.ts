import { createHash } from 'node:crypto';
import type { Extent, ReadAt } from '../entries.js';
import { readTag, tags } from './tag.js';

/** Bytes of a sector, in the order in which Linux tries them. */
const blockSizes = [512, 1024, 2048, 4096] as const;

/** Bytes of an anchor, and of all volume descriptors but the logical volume's, which may be as long as a sector. */
const descriptorBytes = 512;

/** Sectors of the longest sequence that is read. */
const maxSectors = 256;

/** Runs of sectors that a sequence may be made of: what Linux follows. */
const maxPointers = 64;

/** An anchor volume descriptor pointer (ECMA-167 3/10.2): the two places of the volume descriptor sequence. */
export interface Anchor {
  /** Bytes of a sector. */
  readonly blockSize: number;
  readonly sequences: readonly Extent[];
}

/** A partition descriptor (ECMA-167 3/10.5), in sectors. */
export interface PartitionDescriptor {
  readonly start: number;
  readonly blocks: number;
}

/** What a volume descriptor sequence says (ECMA-167 3/8.4.2): of each kind the prevailing descriptor. */
export interface Sequence {
  readonly primary: Buffer | undefined;
  readonly logical: Buffer | undefined;
  /** By the partitions' numbers. */
  readonly partitions: ReadonlyMap<number, PartitionDescriptor>;
  /** SHA-256, in hex, of those descriptors. */
  readonly digest: string;
}

/** An extent in sectors (ECMA-167 3/7.1) in bytes. */
function extentAt(bytes: Buffer, at: number, blockSize: number): Extent {
  return { offset: bytes.readUInt32LE(at + 4) * blockSize, length: bytes.readUInt32LE(at) };
}

/** Looks for anchors where they may be (ECMA-167 3/8.4.2.1, OSTA UDF 2.2.3), with each size that a sector may have. */
export async function* findAnchors(read: ReadAt, bytes: number): AsyncGenerator<Anchor> {
  for (const blockSize of blockSizes) {
    const count = Math.floor(bytes / blockSize);
    for (const block of new Set([256, count - 1, count - 257, 512])) {
      if (block < 0 || block >= count) continue;
      const anchor = await read(block * blockSize, descriptorBytes);
      if (readTag(anchor, block) !== tags.anchor) continue;
      yield { blockSize, sequences: [extentAt(anchor, 16, blockSize), extentAt(anchor, 24, blockSize)] };
    }
  }
}

/** Takes descriptors one by one; of several of a kind the one with the highest sequence number prevails. */
class Descriptors {
  readonly #prevailing = new Map<string, Buffer>();

  add(kind: string, sector: Buffer): void {
    const other = this.#prevailing.get(kind);
    if (other === undefined || other.readUInt32LE(16) <= sector.readUInt32LE(16)) this.#prevailing.set(kind, sector);
  }

  get sequence(): Sequence {
    const hash = createHash('sha256');
    const partitions = new Map<number, PartitionDescriptor>();
    for (const [kind, sector] of this.#prevailing) {
      hash.update(sector);
      if (!kind.startsWith('partition')) continue;
      partitions.set(sector.readUInt16LE(22), { start: sector.readUInt32LE(188), blocks: sector.readUInt32LE(192) });
    }
    const [primary, logical] = [this.#prevailing.get('primary'), this.#prevailing.get('logical')];
    return { primary, logical, partitions, digest: hash.digest('hex') };
  }
}

/** @returns where the sequence goes on; undefined at its end */
function takeSectors(run: Buffer, first: number, blockSize: number, descriptors: Descriptors): Extent | undefined {
  for (let at = 0; at < run.length; at += blockSize) {
    const sector = run.subarray(at, at + blockSize);
    switch (readTag(sector, first + at / blockSize)) {
      case tags.primaryVolume:
        descriptors.add('primary', sector);
        break;
      case tags.logicalVolume:
        descriptors.add('logical', sector);
        break;
      case tags.partition:
        descriptors.add(`partition ${sector.readUInt16LE(22)}`, sector);
        break;
      case tags.volumePointer:
        return extentAt(sector, 20, blockSize);
      case tags.terminator:
        return undefined;
    }
  }
  return undefined;
}

/** Reads a volume descriptor sequence, which may be made of several runs of sectors; leaves out what is broken. */
export async function readSequence(read: ReadAt, bytes: number, blockSize: number, place: Extent): Promise<Sequence> {
  const descriptors = new Descriptors();
  let room = maxSectors;
  let next: Extent | undefined = place;
  for (let pointers = 0; next !== undefined && pointers <= maxPointers; pointers++) {
    const { offset, length }: Extent = next;
    const sectors = Math.min(Math.floor(Math.min(length, bytes - offset) / blockSize), room);
    if (sectors <= 0) break;
    room -= sectors;
    const run = await read(offset, sectors * blockSize);
    next = takeSectors(run, offset / blockSize, blockSize, descriptors);
  }
  return descriptors.sequence;
}
