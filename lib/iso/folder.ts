import { setImmediate as turn } from 'node:timers/promises';
import {
  type Children,
  type Extent,
  type IsoEntry,
  type IsoFile,
  type IsoFolder,
  type IsoLink,
  type ReadAt,
  SECTOR,
} from './entries.js';
import { hasControls, isServable, jolietName, plainName } from './names.js';
import { type DirectoryRecord, FLAG, readRecord, readRecords } from './record.js';
import { Attributes } from './rockridge.js';
import { type Continuation, Continuations, readFields } from './susp.js';
import { READ, SECTOR_READ, Work } from './work.js';

/** Bytes of the longest folder that is read: about half a million entries. */
export const FOLDER_MAX = 64 * 2 ** 20;

/** Folders inside folders; ECMA-119 6.8.2.1 allows 8, Rock Ridge as many as a path has room for. */
const DEPTH_MAX = 255;

/** File sections: what Linux allows. */
const SECTIONS_MAX = 100;

/** Records between two turns of the event loop: some milliseconds of work. */
const SLICE = 4096;

type Kind = 'file' | 'folder' | 'link' | 'device';

/** File types of PX (RRIP 4.1.1). */
const KINDS: ReadonlyMap<number, Kind> = new Map([
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
  if (attributes.relocatedTo !== undefined || (record.flags & FLAG.directory) !== 0) return 'folder';
  return KINDS.get((attributes.mode ?? 0) & 0o170000) ?? (attributes.hasTarget ? 'link' : 'file');
}

function linkOf(target: string | undefined, modified: number | undefined): IsoLink | undefined {
  return target === undefined || hasControls(target) ? undefined : { type: 'link', target, modified };
}

/** Like Linux, hidden files are shown and associated ones are not. */
function isShown(record: DirectoryRecord): boolean {
  return !record.isSelf && !record.isParent && (record.flags & FLAG.associated) === 0;
}

class FolderReader {
  private readonly children = new Map<string, IsoEntry>();
  private readonly places = new Set<number>();
  private readonly continuations: Continuations;
  private sections: Extent[] = [];
  private identifier: Buffer = Buffer.alloc(0);
  private end = 0;

  constructor(
    private readonly layout: Layout,
    private readonly folder: IsoFolder,
    private readonly work: Work,
  ) {
    this.continuations = new Continuations(layout.read, layout.bytes, layout.blockSize, work);
  }

  async read(): Promise<FolderContents> {
    this.work.spend(READ + SECTOR_READ * Math.ceil(this.folder.length / SECTOR));
    const bytes = await this.layout.read(this.folder.offset, this.folder.length);
    let count = 0;
    for (const record of readRecords(bytes)) {
      if (++count % SLICE === 0) await turn();
      this.work.spend(1);
      const sections = this.addSection(record);
      if (sections === undefined || !isShown(record)) continue;
      const attributes = new Attributes();
      const next = this.readOwnFields(record, attributes);
      // Awaiting only what is not at hand halves the time of a big folder.
      if (next !== undefined && !(await this.continuations.follow(next, attributes))) continue;
      const block = attributes.relocatedTo;
      this.addEntry(record, attributes, block === undefined ? sections : await this.relocated(block));
    }
    return { children: this.children, end: this.end };
  }

  /** @returns all sections of the file whose last record this is */
  private addSection(record: DirectoryRecord): Extent[] | undefined {
    const offset = record.block * this.layout.blockSize;
    if (record.length > 0) this.end = Math.max(this.end, offset + record.length);
    // The records of one file have one identifier (ECMA-119 9.1.11): of another file only the end is missing.
    if (this.sections.length > 0 && !this.identifier.equals(record.identifier)) this.sections = [];
    // Interleaved files are empty, as in Linux. One section too many is kept: it tells that there were too many.
    if (this.sections.length <= SECTIONS_MAX) {
      this.sections.push({ offset, length: record.isInterleaved ? 0 : record.length });
    }
    if ((record.flags & FLAG.multiExtent) !== 0) {
      this.identifier = record.identifier;
      return undefined;
    }
    const sections = this.sections;
    this.sections = [];
    return sections;
  }

  private readOwnFields(record: DirectoryRecord, attributes: Attributes): Continuation | undefined {
    const { skip } = this.layout;
    return skip === undefined ? undefined : readFields(record.bytes, record.systemUse + skip, record.end, attributes);
  }

  private addEntry(record: DirectoryRecord, attributes: Attributes, sections: Extent[]): void {
    if (attributes.isRelocated) return;
    const name = nameOf(record, attributes, this.layout.isJoliet);
    // Of two entries with one name the first wins, as in Linux.
    if (!isServable(name) || this.children.has(name)) return;
    const entry = this.entryOf(record, attributes, sections);
    if (entry !== undefined) this.children.set(name, entry);
  }

  /** @returns undefined for what is not served: a device, or what contradicts itself or leaves the .iso */
  private entryOf(record: DirectoryRecord, attributes: Attributes, sections: Extent[]): IsoEntry | undefined {
    const modified = attributes.modified ?? record.modified;
    switch (kindOf(record, attributes)) {
      case 'file':
        return this.fileOf(sections, modified);
      case 'folder':
        return this.folderOf(sections, modified);
      case 'link':
        return linkOf(attributes.target, modified);
      case 'device':
        return undefined;
    }
  }

  private fileOf(sections: Extent[], modified: number | undefined): IsoFile | undefined {
    const extents = mergeExtents(sections);
    if (sections.length > SECTIONS_MAX || !extents.every((extent) => this.isInside(extent))) return undefined;
    const size = extents.reduce((sum, extent) => sum + extent.length, 0);
    return { type: 'file', extents, size, modified };
  }

  /** A folder that is its own ancestor would have no end, and one at two places would multiply: only one stays. */
  private folderOf([place, ...more]: Extent[], modified: number | undefined): IsoFolder | undefined {
    if (place === undefined || more.length > 0 || place.length > FOLDER_MAX || !this.isInside(place)) return undefined;
    const { offset, length } = place;
    if (this.folder.depth === DEPTH_MAX || this.places.has(offset)) return undefined;
    for (let above: IsoFolder | undefined = this.folder; above !== undefined; above = above.parent) {
      if (above.offset === offset) return undefined;
    }
    this.places.add(offset);
    return { type: 'folder', offset, length, modified, parent: this.folder, depth: this.folder.depth + 1 };
  }

  /** Where the folder is that a CL field names (RRIP 4.1.5.1): its own first record has its length. */
  private async relocated(block: number): Promise<Extent[]> {
    const offset = block * this.layout.blockSize;
    if (offset + SECTOR > this.layout.bytes) return [];
    this.work.spend(READ);
    const record = readRecord(await this.layout.read(offset, SECTOR), 0);
    if (record?.isSelf !== true || (record.flags & FLAG.directory) === 0) return [];
    return [{ offset, length: record.length }];
  }

  private isInside({ offset, length }: Extent): boolean {
    return offset + length <= this.layout.bytes;
  }
}

/**
 * Reads the entries of a folder. What is broken is left out, and the rest is served.
 * @throws ServiceError BROKEN_ISO when there is too much of it
 */
export function readFolder(layout: Layout, folder: IsoFolder, work = new Work()): Promise<FolderContents> {
  return new FolderReader(layout, folder, work).read();
}
