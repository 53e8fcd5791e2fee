import { setImmediate as turn } from 'node:timers/promises';
import {
  type Children,
  type Extent,
  type IsoEntry,
  type IsoFile,
  type IsoFolder,
  type IsoLink,
  type ReadAt,
  sectorBytes,
} from './entries.js';
import { hasControls, isServable, jolietName, plainName } from './names.js';
import { type DirectoryRecord, recordFlags, readRecord, readRecords } from './record.js';
import { Attributes } from './rockridge.js';
import { type Continuation, Continuations, readFields } from './susp.js';
import { readCost, sectorCost, Budget } from './budget.js';

/** Bytes of the longest folder that is read: about half a million entries. */
export const maxFolderBytes = 64 * 2 ** 20;

/** Folders inside folders; ECMA-119 6.8.2.1 allows 8, Rock Ridge as many as a path has room for. */
const maxDepth = 255;

/** File sections: what Linux allows. */
const maxSections = 100;

/** Records between two turns of the event loop: some milliseconds of work. */
const recordsPerTurn = 4096;

type Kind = 'file' | 'folder' | 'link' | 'device';

/** File types of PX (RRIP 4.1.1). */
const kinds: ReadonlyMap<number, Kind> = new Map([
  [0o100000, 'file'],
  [0o040000, 'folder'],
  [0o120000, 'link'],
  [0o010000, 'device'],
  [0o020000, 'device'],
  [0o060000, 'device'],
  [0o140000, 'device'],
]);

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
}

export interface FolderContents {
  readonly children: Children;
  /** The highest byte that any record claims, those included that are not served. */
  readonly end: number;
}

/** Joins sections that follow each other on the disc: a file of many gigabytes becomes one extent. */
function mergeExtents(sections: Extent[]): Extent[] {
  const merged: Extent[] = [];
  for (const section of sections) {
    const last = merged.at(-1);
    if (last !== undefined && last.offset + last.length === section.offset) {
      merged[merged.length - 1] = { offset: last.offset, length: last.length + section.length };
    } else if (section.length > 0) {
      merged.push(section);
    }
  }
  return merged;
}

/** The name as Linux shows it. */
function nameOf(record: DirectoryRecord, attributes: Attributes, isJoliet: boolean): string {
  return attributes.name ?? (isJoliet ? jolietName(record.identifier) : plainName(record.identifier));
}

/** As in Linux, the record tells what is a folder, and Rock Ridge what the others are. */
function kindOf(record: DirectoryRecord, attributes: Attributes): Kind {
  if (attributes.relocatedTo !== undefined || (record.flags & recordFlags.directory) !== 0) return 'folder';
  return kinds.get((attributes.mode ?? 0) & 0o170000) ?? (attributes.hasTarget ? 'link' : 'file');
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
  #sections: Extent[] = [];
  #identifier: Buffer = Buffer.alloc(0);
  #end = 0;

  constructor(
    private readonly layout: Layout,
    private readonly folder: IsoFolder,
    private readonly budget: Budget,
  ) {
    this.#continuations = new Continuations(layout.read, layout.bytes, layout.blockSize, budget);
  }

  async read(): Promise<FolderContents> {
    this.budget.spend(readCost + sectorCost * Math.ceil(this.folder.length / sectorBytes));
    const bytes = await this.layout.read(this.folder.offset, this.folder.length);
    let count = 0;
    for (const record of readRecords(bytes)) {
      if (++count % recordsPerTurn === 0) await turn();
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
    return { children: this.#children, end: this.#end };
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
    const name = nameOf(record, attributes, this.layout.isJoliet);
    // Of two entries with one name the first wins, as in Linux.
    if (!isServable(name) || this.#children.has(name)) return;
    const entry = this.#entryOf(record, attributes, sections);
    if (entry !== undefined) this.#children.set(name, entry);
  }

  /** @returns undefined for what is not served: a device, or what contradicts itself or leaves the .iso */
  #entryOf(record: DirectoryRecord, attributes: Attributes, sections: Extent[]): IsoEntry | undefined {
    const modified = attributes.modified ?? record.modified;
    switch (kindOf(record, attributes)) {
      case 'file':
        return this.#fileOf(sections, modified);
      case 'folder':
        return this.#folderOf(sections, modified);
      case 'link':
        return linkOf(attributes.target, modified);
      case 'device':
        return undefined;
    }
  }

  #fileOf(sections: Extent[], modified: number | undefined): IsoFile | undefined {
    const extents = mergeExtents(sections);
    if (sections.length > maxSections || !extents.every((extent) => this.#isInside(extent))) return undefined;
    const size = extents.reduce((sum, extent) => sum + extent.length, 0);
    return { type: 'file', extents, size, modified };
  }

  /** A folder that is its own ancestor would have no end, and one at two places would multiply: only one stays. */
  #folderOf([place, ...more]: Extent[], modified: number | undefined): IsoFolder | undefined {
    if (place === undefined || more.length > 0 || place.length > maxFolderBytes || !this.#isInside(place))
      return undefined;
    const { offset, length } = place;
    if (this.folder.depth === maxDepth || this.#places.has(offset)) return undefined;
    for (let above: IsoFolder | undefined = this.folder; above !== undefined; above = above.parent) {
      if (above.offset === offset) return undefined;
    }
    this.#places.add(offset);
    return { type: 'folder', offset, length, modified, parent: this.folder, depth: this.folder.depth + 1 };
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
export function readFolder(layout: Layout, folder: IsoFolder, budget = new Budget()): Promise<FolderContents> {
  return new FolderReader(layout, folder, budget).read();
}
