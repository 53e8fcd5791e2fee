import { type Budget, readCost } from '../budget.js';
import type { Extent } from '../entries.js';
import { addExtent } from '../extents.js';
import type { Disc, Partition } from './space.js';
import { hasTag, tags } from './tag.js';

/** Bytes of a sparing table before its entries (OSTA UDF 2.2.12), and of an entry. */
const headerBytes = 56;
const entryBytes = 8;

const longestTable = headerBytes + entryBytes * 0xffff;

/** From here on, original locations stand for packets that are free or defective. */
const firstUnused = 0xfffffff0;

const tableIdentifier = '*UDF Sparing Table';

/** Blocks of a partition that lie elsewhere: packets, as many as lie there in the same order. */
export interface SparedRun {
  /** The first one, in the partition. */
  readonly block: number;
  readonly blocks: number;
  /** Where that is on the disc. */
  readonly sector: number;
}

/** What a sparable partition map says (OSTA UDF 2.2.9). */
export interface SparingMap {
  /** Blocks of a packet: a power of two. */
  readonly packet: number;
  /** Bytes of a sparing table. */
  readonly tableBytes: number;
  /** The sectors of its copies. */
  readonly tables: readonly number[];
}

/** Reads the partition map; undefined when it cannot be right. */
export function readSparingMap(map: Buffer): SparingMap | undefined {
  const packet = map.readUInt16LE(40);
  const count = map.readUInt8(42);
  if (packet === 0 || (packet & (packet - 1)) !== 0 || count > 4) return undefined;
  const tables = Array.from({ length: count }, (_, index) => map.readUInt32LE(48 + 4 * index));
  return { packet, tableBytes: map.readUInt32LE(44), tables };
}

/** By their first block in the partition, the sectors of the packets that the table names. */
function parseTable(table: Buffer, sector: number, packetBlocks: number): ReadonlyMap<number, number> | undefined {
  if (!hasTag(table, 0, tags.sparingTable) || table.readUInt32LE(12) !== sector) return undefined;
  if (table.toString('latin1', 17, 17 + tableIdentifier.length) !== tableIdentifier) return undefined;
  const sectors = new Map<number, number>();
  const end = headerBytes + entryBytes * table.readUInt16LE(48);
  for (let at = headerBytes; at < end && at + entryBytes <= table.length; at += entryBytes) {
    const packet = table.readUInt32LE(at);
    if (packet < firstUnused && packet % packetBlocks === 0) sectors.set(packet, table.readUInt32LE(at + 4));
  }
  return sectors;
}

/**
 * Puts packets together that stay together, and leaves out those that stay where they are: then every run that is
 * walked is an extent of its own, and is paid for as one.
 */
function joinPackets(sectors: ReadonlyMap<number, number>, blocks: number, start: number): SparedRun[] {
  const runs: SparedRun[] = [];
  for (const block of Uint32Array.from(sectors.keys()).sort()) {
    const sector = sectors.get(block) ?? 0;
    if (sector === start + block) continue;
    const last = runs.at(-1);
    const isNext = last !== undefined && last.block + last.blocks === block && last.sector + last.blocks === sector;
    if (isNext) runs[runs.length - 1] = { ...last, blocks: last.blocks + blocks };
    else runs.push({ block, blocks, sector });
  }
  return runs;
}

/**
 * Reads the first copy of the sparing table that is right; a partition without any has nothing spared, as in Linux.
 * @param start the first sector of the partition
 * @returns what is spared, in order
 */
export async function readSparingTable(
  { read, bytes, blockSize }: Disc,
  { tables, tableBytes, packet }: SparingMap,
  start: number,
  budget: Budget,
): Promise<readonly SparedRun[]> {
  for (const sector of tables) {
    const offset = sector * blockSize;
    const length = Math.min(tableBytes, longestTable, bytes - offset);
    if (length < headerBytes) continue;
    budget.spend(readCost + length / entryBytes);
    const packets = parseTable(await read(offset, length), sector, packet);
    if (packets !== undefined) return joinPackets(packets, packet, start);
  }
  return [];
}

/** A partition some of whose packets lie elsewhere, as on rewritable discs that have worn out there. */
export class SparablePartition implements Partition {
  /** @param runs what is spared, in order */
  constructor(
    private readonly start: number,
    readonly blocks: number,
    private readonly blockSize: number,
    private readonly runs: readonly SparedRun[],
  ) {}

  locate(block: number, length: number): Extent[] {
    const extents: Extent[] = [];
    const base = this.start * this.blockSize;
    let at = block * this.blockSize;
    const end = at + length;
    for (let index = this.#indexOf(block); ; index++) {
      const run = this.runs[index];
      if (run === undefined || run.block * this.blockSize >= end) break;
      const from = run.block * this.blockSize;
      if (at < from) addExtent(extents, { offset: base + at, length: from - at });
      at = Math.max(at, from);
      const to = Math.min(from + run.blocks * this.blockSize, end);
      addExtent(extents, { offset: run.sector * this.blockSize + at - from, length: to - at });
      at = to;
    }
    addExtent(extents, { offset: base + at, length: end - at });
    return extents;
  }

  /** The first run that does not end before a block. */
  #indexOf(block: number): number {
    let [from, to] = [0, this.runs.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const run = this.runs[middle];
      if (run !== undefined && run.block + run.blocks <= block) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
