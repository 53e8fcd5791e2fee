import { type Budget, sectorCost } from '../budget.js';
import type { FolderCache } from '../cache.js';
import { type Children, type IsoEntry, type IsoFolder, pathIn, sectorBytes } from '../entries.js';
import { maxDepth } from '../folder.js';
import { isServable } from '../names.js';
import type { ClaimingFolder, Claims } from '../truncation.js';
import { Turns } from '../../turns.js';
import { describe, type Described, describeFolder, type FolderData, readData } from './entry.js';
import { characteristics, type FileIdentifier, longestIdentifier, readIdentifiers } from './identifiers.js';
import { readRuns, type Run } from './runs.js';
import { type Address, locateBlock, type Space } from './space.js';
import { decodeName } from './text.js';

/** Names whose file entries are sorted at once: some milliseconds of work. */
const namesPerSort = 16_384;

/** Extents of its own that a folder keeps: those of any usual one. */
const maxKeptExtents = 4;

/** Extents of all the files of one folder: as much memory as some hundred thousand entries. */
const maxFolderExtents = 2 ** 18;

/** Bytes of a folder in which identifiers are looked for at once: what a long one says of itself takes no memory. */
const pieceBytes = 2 ** 20;

/** Which names Linux does not show. */
const notShown = characteristics.hidden | characteristics.deleted | characteristics.parent;

/** A volume whose folders are kept. */
export interface KeptSpace extends Space {
  /** What one request may cost. */
  readonly newBudget: () => Budget;
  readonly cache: FolderCache<Children>;
}

/** A folder of UDF: a file whose data are file identifiers. */
export class UdfFolder implements IsoFolder, ClaimingFolder {
  readonly type = 'folder';
  readonly path: string;
  readonly modified: number | undefined;
  /** Where its file entry is in the .iso. */
  readonly offset: number;
  /** Folders above this one: 0 for the root. */
  readonly depth: number;
  readonly #address: Address;
  readonly #data: FolderData | undefined;

  /** @param name empty for the root */
  constructor(
    private readonly space: KeptSpace,
    readonly parent: UdfFolder | undefined,
    name: string,
    data: FolderData,
  ) {
    this.path = parent === undefined ? name : pathIn(parent, name);
    this.depth = parent === undefined ? 0 : parent.depth + 1;
    this.modified = data.modified;
    this.offset = data.offset;
    this.#address = data.address;
    // Folders are kept, and wait, in large numbers: of one in many pieces the file entry is read again.
    this.#data = data.extents.length > maxKeptExtents ? undefined : data;
  }

  children(budget?: Budget): Promise<Children> {
    return this.space.cache.get(this, () => this.read(budget));
  }

  async read(budget?: Budget): Promise<Children> {
    return (await readFolder(this.space, this, budget)).children;
  }

  /**
   * Where its file identifiers are.
   * @throws ServiceError BROKEN_ISO
   */
  async locate(budget: Budget): Promise<FolderData> {
    return this.#data ?? (await describeFolder(this.space, this.#address, budget));
  }

  async claims(budget: Budget): Promise<Claims> {
    const { children, end } = await readFolder(this.space, this, budget);
    return { folders: [...children.values()].filter((entry) => entry instanceof UdfFolder), end };
  }
}

export interface FolderContents {
  readonly children: Children;
  /** The highest byte that any entry claims, those included that are not served. */
  readonly end: number;
}

interface Named {
  readonly name: string;
  /** Where its file entry is, and where that is in the .iso. */
  readonly address: Address;
  readonly offset: number;
  /** What that says, once it is read. */
  entry: Described['entry'];
}

class FolderReader {
  readonly #names: Named[] = [];
  readonly #folders = new Set<number>();
  readonly #turns = new Turns();
  #extents = 0;
  #end = 0;

  constructor(
    private readonly space: KeptSpace,
    private readonly folder: UdfFolder,
    private readonly budget: Budget,
  ) {}

  async read(): Promise<FolderContents> {
    const { extents, size } = await this.folder.locate(this.budget);
    this.budget.spend(sectorCost * Math.ceil(size / sectorBytes));
    for (let at = 0; at < size;) {
      const length = Math.min(pieceBytes + longestIdentifier, size - at);
      at += await this.#addNames(await readData(this.space, extents, at, length, this.budget));
    }
    await this.#describeAll();
    return { children: await this.#children(), end: this.#end };
  }

  /** @returns where the next piece begins */
  async #addNames(data: Buffer): Promise<number> {
    const identifiers = readIdentifiers(data, Math.min(pieceBytes, data.length));
    for (let next = identifiers.next(); ; next = identifiers.next()) {
      if (next.done === true) return next.value;
      if (this.#turns.isDue) await this.#turns.take();
      if (next.value !== undefined) this.#addName(data, next.value);
    }
  }

  #addName(data: Buffer, { icb, nameFrom, nameTo, characteristics }: FileIdentifier): void {
    this.budget.spend(1);
    if ((characteristics & notShown) !== 0) return;
    this.budget.addEntries(1);
    const name = decodeName(data, nameFrom, nameTo);
    const offset = locateBlock(this.space, icb);
    if (name === undefined || !isServable(name) || offset === undefined) return;
    this.#claim(offset + this.space.blockSize);
    if (offset + this.space.blockSize > this.space.bytes) return;
    this.#names.push({ name, address: icb, offset, entry: undefined });
  }

  #claim(end: number): void {
    this.#end = Math.max(this.#end, end);
  }

  async #describeAll(): Promise<void> {
    for (let at = 0; at < this.#names.length; at += namesPerSort) {
      await this.#describeSome(this.#names.slice(at, at + namesPerSort));
    }
  }

  /** Reads file entries in the order in which they lie on the disc, neighbours at once. */
  async #describeSome(unsorted: readonly Named[]): Promise<void> {
    const names = unsorted.toSorted((one, other) => one.offset - other.offset);
    for await (const run of readRuns(this.space, names, this.budget)) await this.#describeRun(run);
  }

  async #describeRun({ blocks, start, bytes }: Run<Named>): Promise<void> {
    const { blockSize } = this.space;
    let before: Named | undefined;
    for (const named of blocks) {
      if (this.#turns.isDue) await this.#turns.take();
      // A file entry may have several names.
      if (before?.offset === named.offset) {
        named.entry = before.entry;
        continue;
      }
      const block = bytes.subarray(named.offset - start, named.offset - start + blockSize);
      this.budget.spend(1);
      const described = describe(this.space, block, named.offset, named.address, this.budget);
      // Awaiting only what is not at hand halves the time of a big folder.
      named.entry = this.#count(described instanceof Promise ? await described : described);
      before = named;
    }
  }

  /** @returns undefined for what would make the folder too large */
  #count({ entry, end }: Described): Described['entry'] {
    this.#claim(end);
    if (entry === undefined || entry.type === 'link') return entry;
    this.#extents += entry.extents.length;
    return this.#extents <= maxFolderExtents ? entry : undefined;
  }

  async #children(): Promise<Children> {
    const children = new Map<string, IsoEntry>();
    for (const { name, entry } of this.#names) {
      if (this.#turns.isDue) await this.#turns.take();
      // Of two entries with one name the first is shown.
      if (entry === undefined || children.has(name)) continue;
      const child = entry.type === 'folder' ? this.#folderOf(name, entry) : entry;
      if (child !== undefined) children.set(name, child);
    }
    return children;
  }

  /** A folder that is its own ancestor would have no end, and one at two places would multiply: only one stays. */
  #folderOf(name: string, data: FolderData): UdfFolder | undefined {
    if (this.folder.depth === maxDepth || this.#folders.has(data.offset)) return undefined;
    for (let above: UdfFolder | undefined = this.folder; above !== undefined; above = above.parent) {
      if (above.offset === data.offset) return undefined;
    }
    this.#folders.add(data.offset);
    return new UdfFolder(this.space, this.folder, name, data);
  }
}

/**
 * Reads the entries of a folder. What is broken is left out, and the rest is served.
 * @throws ServiceError BROKEN_ISO when there is too much of it
 */
export function readFolder(space: KeptSpace, folder: UdfFolder, budget = space.newBudget()): Promise<FolderContents> {
  return new FolderReader(space, folder, budget).read();
}
