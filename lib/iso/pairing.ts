import { ServiceError } from '../errors.js';
import type { Budget } from './budget.js';
import type { Children, IsoEntry, IsoFile, IsoFolder } from './entries.js';
import { Turns } from '../turns.js';

/** Sizes in ISO 9660 are modulo this where a writer allowed files that have no room there. In bytes. */
const sizeModulus = 2 ** 32;

/** The entries of a folder in Rock Ridge, and the same ones in UDF. */
export interface Pairs {
  /** By name in Rock Ridge: what UDF says of the file. */
  readonly files: ReadonlyMap<string, IsoFile>;
  readonly folders: ReadonlyMap<IsoFolder, IsoFolder>;
  /** What UDF alone has, by name. */
  readonly unpaired: ReadonlyMap<string, IsoEntry>;
}

function startOf({ extents }: IsoFile): number | undefined {
  return extents[0]?.offset;
}

/** Whether two descriptions can be of one file, but for what ISO 9660 has no room for. */
function agree(file: IsoFile, other: IsoFile): boolean {
  const stored = file.zisofs === undefined ? file.size : file.extents.reduce((sum, { length }) => sum + length, 0);
  return other.size >= stored && (other.size - stored) % sizeModulus === 0;
}

/** Whether two files of one name are the same one: both lead to the same bytes. */
function isSame(file: IsoFile, other: IsoFile): boolean {
  const start = startOf(file);
  return start !== undefined && start === startOf(other) && agree(file, other);
}

/** What is left of a folder that cannot be read: nothing, as there is the other tree. */
async function unlessBroken(children: Promise<Children>, budget: Budget | undefined): Promise<Children> {
  try {
    return await children;
  } catch (error) {
    // What is only too much for this request must not be kept for the next one.
    const isBroken = error instanceof ServiceError && error.code === 'BROKEN_ISO' && budget?.isSpent !== true;
    if (isBroken) return new Map<string, IsoEntry>();
    throw error;
  }
}

/** Reads a folder of both trees at once: while one waits for the disk, the other one is parsed. */
export async function readBoth(
  rockRidge: IsoFolder,
  udf: IsoFolder | undefined,
  budget: Budget | undefined,
): Promise<[own: Children, others: Children]> {
  const none = Promise.resolve(new Map<string, IsoEntry>());
  const readings: [Promise<Children>, Promise<Children>] = [
    rockRidge.read(budget),
    udf === undefined ? none : unlessBroken(udf.read(budget), budget),
  ];
  // Where one fails, the other one must not go on reading: the .iso may be closed by then.
  await Promise.allSettled(readings);
  return Promise.all(readings);
}

/** Pairs the entries of one folder: certain ones first, so that no other entry gets their counterparts. */
class Pairing implements Pairs {
  readonly files = new Map<string, IsoFile>();
  readonly folders = new Map<IsoFolder, IsoFolder>();
  readonly unpaired = new Map<string, IsoEntry>();
  /** What Rock Ridge alone has. */
  readonly #left = new Map<string, IsoEntry>();
  readonly #turns = new Turns();

  constructor(private readonly budget: Budget | undefined) {}

  /** Nearly all of them: those of one name that begin at one place. What remains is for the others. */
  async pairSame(own: Children, others: Children): Promise<void> {
    for (const [name, entry] of own) {
      if (this.#turns.isDue) await this.#turns.take();
      const other = others.get(name);
      if (entry.type === 'file' && other?.type === 'file' && isSame(entry, other)) this.files.set(name, other);
      else this.#left.set(name, entry);
    }
    if (this.files.size === others.size) return;
    for (const [name, other] of others) {
      if (this.#turns.isDue) await this.#turns.take();
      if (!this.files.has(name)) this.unpaired.set(name, other);
    }
  }

  /** By where they begin on the disc: writers change names, but both trees lead to the same bytes. */
  async pairByStart(): Promise<void> {
    if (this.unpaired.size === 0) return;
    const starts = new Map<number, [name: string, file: IsoFile]>();
    for (const [name, other] of this.unpaired) {
      if (this.#turns.isDue) await this.#turns.take();
      const start = other.type === 'file' ? startOf(other) : undefined;
      if (other.type === 'file' && start !== undefined) starts.set(start, [name, other]);
    }
    for (const [ownName, entry] of this.#left) {
      if (this.#turns.isDue) await this.#turns.take();
      const start = entry.type === 'file' ? startOf(entry) : undefined;
      const [name, other] = (start === undefined ? undefined : starts.get(start)) ?? [];
      if (entry.type === 'file' && name !== undefined && other !== undefined && agree(entry, other)) {
        this.#pairFiles(ownName, name, other);
      }
    }
    // One file of UDF may have several names, of which Rock Ridge has other ones.
    const paired = new Set<IsoEntry>(this.files.values());
    for (const [name, other] of this.unpaired) if (paired.has(other)) this.unpaired.delete(name);
  }

  /** By their names, where the start says nothing: an empty file, or one that UDF has in another place. */
  async pairByName(): Promise<void> {
    for (const [name, entry] of this.#left) {
      if (this.#turns.isDue) await this.#turns.take();
      const other = this.unpaired.get(name);
      if (entry.type === 'folder' && other?.type === 'folder') this.#pairFolders(entry, name, other);
      else if (entry.type === 'link' && other !== undefined) this.unpaired.delete(name);
      else if (entry.type === 'file' && other?.type === 'file' && agree(entry, other)) {
        this.#pairFiles(name, name, other);
      }
    }
  }

  /** Folders whose names were changed: by a file that both have. */
  async pairByContents(): Promise<void> {
    const starts = new Map<number, [name: string, folder: IsoFolder]>();
    for (const [name, other] of this.unpaired) {
      if (other.type !== 'folder') continue;
      for (const start of await this.#startsIn(other)) starts.set(start, [name, other]);
    }
    if (starts.size === 0) return;
    for (const folder of this.#foldersLeft()) {
      const found = (await this.#startsIn(folder)).find((start) => this.unpaired.has(starts.get(start)?.[0] ?? ''));
      const [name, other] = (found === undefined ? undefined : starts.get(found)) ?? [];
      if (name !== undefined && other !== undefined) this.#pairFolders(folder, name, other);
    }
  }

  /** The last one on either side: nothing else is left that it could be. */
  pairRest(): void {
    const [folder, ...more] = this.#foldersLeft();
    const [other, ...others] = [...this.unpaired].filter(([, entry]) => entry.type === 'folder');
    const isSingle = more.length === 0 && others.length === 0;
    if (folder && other?.[1].type === 'folder' && isSingle) this.#pairFolders(folder, other[0], other[1]);
  }

  #foldersLeft(): IsoFolder[] {
    return [...this.#left.values()].filter((entry) => entry.type === 'folder').filter((one) => !this.folders.has(one));
  }

  async #startsIn(folder: IsoFolder): Promise<number[]> {
    const children = await unlessBroken(folder.children(this.budget), this.budget);
    this.budget?.spend(children.size);
    const starts: number[] = [];
    for (const entry of children.values()) {
      if (this.#turns.isDue) await this.#turns.take();
      const start = entry.type === 'file' ? startOf(entry) : undefined;
      if (start !== undefined) starts.push(start);
    }
    return starts;
  }

  #pairFiles(ownName: string, name: string, other: IsoFile): void {
    this.files.set(ownName, other);
    this.#left.delete(ownName);
    this.unpaired.delete(name);
  }

  #pairFolders(folder: IsoFolder, name: string, other: IsoFolder): void {
    this.folders.set(folder, other);
    this.unpaired.delete(name);
  }
}

/**
 * Finds the entries of a Rock Ridge folder in the same folder of UDF.
 * @param isGuessing whether the last folder of either side may be taken for the same one
 * @throws ServiceError BROKEN_ISO when the budget is spent
 */
export async function pairFolder(
  own: Children,
  others: Children,
  budget: Budget | undefined,
  isGuessing = true,
): Promise<Pairs> {
  const pairing = new Pairing(budget);
  await pairing.pairSame(own, others);
  await pairing.pairByStart();
  await pairing.pairByName();
  await pairing.pairByContents();
  if (isGuessing) pairing.pairRest();
  return pairing;
}
