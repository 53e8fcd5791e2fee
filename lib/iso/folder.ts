import {
  type Children,
  type Extent,
  type IsoEntry,
  type IsoFile,
  type IsoFolder,
  type IsoLink,
  pathIn,
  type ReadAt,
  sectorBytes,
  type Zisofs,
} from './entries.js';
import { hasControls, isServable, jolietName, plainName } from './names.js';
import { kindOf } from './kind.js';
import { type DirectoryRecord, recordFlags, readRecord, readRecords } from './record.js';
import { Attributes } from './rockridge.js';
import { type Continuation, Continuations, readFields } from './susp.js';
import { type Budget, readCost, sectorCost } from './budget.js';
import { mergeExtents } from './extents.js';
import type { FolderCache } from './cache.js';
import type { ClaimingFolder, Claims } from './truncation.js';
import { Turns } from '../turns.js';

/** Bytes of the longest folder that is read: about half a million entries. */
export const maxFolderBytes = 64 * 2 ** 20;

/** Folders inside folders; ECMA-119 6.8.2.1 allows 8, Rock Ridge as many as a path has room for. */
export const maxDepth = 255;

/** File sections: what Linux allows. */
const maxSections = 100;

/** Bytes of a folder that are read at a time, a multiple of a sector: what a long one says of itself takes no memory. */
const chunkBytes = 256 * 1024;

/** What it takes to read the folders of one volume. */
export interface Layout {
  readonly read: ReadAt;
  /** Bytes of the .iso. */
  readonly bytes: number;
  /** Bytes of a logical block. */
  readonly blockSize: number;
  /** Bytes to leave out at the start of a System Use field; undefined where those fields mean nothing. */
  readonly skip: number | undefined;
  readonly isJoliet: boolean;
  readonly cache: FolderCache<Children>;
  readonly newBudget: () => Budget;
}

/** A run of directory records: a folder of ISO 9660. */
export class RecordFolder implements IsoFolder, ClaimingFolder {
  readonly type = 'folder';
  readonly path: string;
  /** Folders above this one: 0 for the root. */
  readonly depth: number;

  /** @param name empty for the root */
  constructor(
    private readonly layout: Layout,
    readonly parent: RecordFolder | undefined,
    name: string,
    private readonly place: Extent,
    readonly modified: number | undefined,
  ) {
    this.path = parent === undefined ? name : pathIn(parent, name);
    this.depth = parent === undefined ? 0 : parent.depth + 1;
  }

  get offset(): number {
    return this.place.offset;
  }

  get length(): number {
    return this.place.length;
  }

  children(budget?: Budget): Promise<Children> {
    return this.layout.cache.get(this, () => this.read(budget));
  }

  async read(budget?: Budget): Promise<Children> {
    return (await readFolder(this.layout, this, budget)).children;
  }

  async claims(budget: Budget): Promise<Claims> {
    const { children, end } = await readFolder(this.layout, this, budget);
    return { folders: [...children.values()].filter((entry) => entry instanceof RecordFolder), end };
  }
}

export interface FolderContents {
  readonly children: Children;
  /** The highest byte that any record claims, those included that are not served. */
  readonly end: number;
}

/** The name as Linux shows it. */
function nameOf(record: DirectoryRecord, attributes: Attributes, isJoliet: boolean): string {
  return attributes.name ?? (isJoliet ? jolietName(record.identifier) : plainName(record.identifier));
}

function linkOf(target: string | undefined, modified: number | undefined): IsoLink | undefined {
  return target === undefined || hasControls(target) ? undefined : { type: 'link', target, modified };
}

/** Like Linux, hidden files are shown and associated ones are not. */
function isShown(record: DirectoryRecord): boolean {
  return !record.isSelf && !record.isParent && (record.flags & recordFlags.associated) === 0;
}

class FolderReader {
  readonly #children = new Map<string, IsoEntry>();
  readonly #places = new Set<number>();
  readonly #continuations: Continuations;
  readonly #turns = new Turns();
  #sections: Extent[] = [];
  #identifier: Buffer = Buffer.alloc(0);
  #end = 0;

  constructor(
    private readonly layout: Layout,
    private readonly folder: RecordFolder,
    private readonly budget: Budget,
  ) {
    this.#continuations = new Continuations(layout.read, layout.bytes, layout.blockSize, budget);
  }

  async read(): Promise<FolderContents> {
    const { offset, length } = this.folder;
    this.budget.spend(readCost + sectorCost * Math.ceil(length / sectorBytes));
    for (let at = 0; at < length; at += chunkBytes) {
      await this.#addRecords(await this.layout.read(offset + at, Math.min(chunkBytes, length - at)));
    }
    return { children: this.#children, end: this.#end };
  }

  async #addRecords(bytes: Buffer): Promise<void> {
    for (const record of readRecords(bytes)) {
      if (this.#turns.isDue) await this.#turns.take();
      this.budget.spend(1);
      const sections = this.#addSection(record);
      if (sections === undefined || !isShown(record)) continue;
      const attributes = new Attributes();
      const next = this.#readOwnFields(record, attributes);
      // Awaiting only what is not at hand halves the time of a big folder.
      if (next !== undefined && !(await this.#continuations.follow(next, attributes))) continue;
      const block = attributes.relocatedTo;
      this.#addEntry(record, attributes, block === undefined ? sections : await this.#relocated(block));
    }
  }

  /** @returns all sections of the file whose last record this is */
  #addSection(record: DirectoryRecord): Extent[] | undefined {
    const offset = record.block * this.layout.blockSize;
    if (record.length > 0) this.#end = Math.max(this.#end, offset + record.length);
    // The records of one file have one identifier (ECMA-119 9.1.11): of another file only the end is missing.
    if (this.#sections.length > 0 && !this.#identifier.equals(record.identifier)) this.#sections = [];
    // Interleaved files are empty, as in Linux. One section too many is kept: it tells that there were too many.
    if (this.#sections.length <= maxSections) {
      this.#sections.push({ offset, length: record.isInterleaved ? 0 : record.length });
    }
    if ((record.flags & recordFlags.multiExtent) !== 0) {
      this.#identifier = record.identifier;
      return undefined;
    }
    const sections = this.#sections;
    this.#sections = [];
    return sections;
  }

  #readOwnFields(record: DirectoryRecord, attributes: Attributes): Continuation | undefined {
    const { skip } = this.layout;
    return skip === undefined ? undefined : readFields(record.bytes, record.systemUse + skip, record.end, attributes);
  }

  #addEntry(record: DirectoryRecord, attributes: Attributes, sections: Extent[]): void {
    if (attributes.isRelocated) return;
    this.budget.addEntries(1);
    const name = nameOf(record, attributes, this.layout.isJoliet);
    // Of two entries with one name the first wins, as in Linux.
    if (!isServable(name) || this.#children.has(name)) return;
    const entry = this.#entryOf(name, record, attributes, sections);
    if (entry !== undefined) this.#children.set(name, entry);
  }

  /** @returns undefined for what is not served: a device, or what contradicts itself or leaves the .iso */
  #entryOf(name: string, record: DirectoryRecord, attributes: Attributes, sections: Extent[]): IsoEntry | undefined {
    const modified = attributes.modified ?? record.modified;
    switch (kindOf(record, attributes)) {
      case 'file':
        return this.#fileOf(sections, modified, attributes.zisofs);
      case 'folder':
        return this.#folderOf(name, sections, modified);
      case 'link':
        return linkOf(attributes.target, modified);
      case 'device':
        return undefined;
    }
  }

  #fileOf(sections: Extent[], modified: number | undefined, zisofs: Zisofs | undefined): IsoFile | undefined {
    const extents = mergeExtents(sections);
    if (sections.length > maxSections || !extents.every((extent) => this.#isInside(extent))) return undefined;
    if (zisofs !== undefined) return { type: 'file', extents, size: zisofs.size, zisofs, modified };
    const size = extents.reduce((sum, extent) => sum + extent.length, 0);
    return { type: 'file', extents, size, modified, ...(sections.length > 1 ? { isSectioned: true } : {}) };
  }

  /** A folder that is its own ancestor would have no end, and one at two places would multiply: only one stays. */
  #folderOf(name: string, [place, ...more]: Extent[], modified: number | undefined): IsoFolder | undefined {
    if (place === undefined || more.length > 0 || place.length > maxFolderBytes || !this.#isInside(place))
      return undefined;
    const { offset } = place;
    if (this.folder.depth === maxDepth || this.#places.has(offset)) return undefined;
    for (let above: RecordFolder | undefined = this.folder; above !== undefined; above = above.parent) {
      if (above.offset === offset) return undefined;
    }
    this.#places.add(offset);
    return new RecordFolder(this.layout, this.folder, name, place, modified);
  }

  /** Where the folder is that a CL field names (RRIP 4.1.5.1): its own first record has its length. */
  async #relocated(block: number): Promise<Extent[]> {
    const offset = block * this.layout.blockSize;
    if (offset + sectorBytes > this.layout.bytes) return [];
    this.budget.spend(readCost);
    const record = readRecord(await this.layout.read(offset, sectorBytes), 0);
    if (record?.isSelf !== true || (record.flags & recordFlags.directory) === 0) return [];
    return [{ offset, length: record.length }];
  }

  #isInside({ offset, length }: Extent): boolean {
    return offset + length <= this.layout.bytes;
  }
}

/**
 * Reads the entries of a folder. What is broken is left out, and the rest is served.
 * @throws ServiceError BROKEN_ISO when there is too much of it
 */
export function readFolder(layout: Layout, folder: RecordFolder, budget = layout.newBudget()): Promise<FolderContents> {
  return new FolderReader(layout, folder, budget).read();
}
