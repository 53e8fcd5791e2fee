import { ServiceError } from '../errors.js';
import type { Budget } from '../iso/budget.js';
import type { Folder, IsoLink } from '../iso/entries.js';
import { followLink, type Found, lookup, type Search } from '../iso/lookup.js';
import { Turns } from '../turns.js';
import type { Entry, Match, Node, OpenFile, Tree } from '../tree.js';

/** A file of a volume, whoever reads it. Size in bytes; milliseconds since 1970. */
export interface VolumeFile {
  readonly type: 'file';
  readonly size: number;
  readonly modified: number | undefined;
}

/** A volume as it is at one moment. */
export interface Access<File extends VolumeFile> {
  readonly root: Folder<File>;
  /** What one request may cost. */
  readonly newBudget: () => Budget;
  /** @param path of the file, without links, from the root */
  readonly open: (file: File, path: string) => OpenFile | Promise<OpenFile>;
  /** Keeps the volume readable for more work on what was found in it. */
  readonly keep: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Runs work on a volume, which stays readable for as long as the work takes. */
export type Using<File extends VolumeFile> = <T>(work: (access: Access<File>) => Promise<T>) => Promise<T>;

function toDate(milliseconds: number | undefined): Date | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds);
}

function toEntry(name: string, entry: VolumeFile | Folder<unknown>): Entry {
  const size = entry.type === 'file' ? entry.size : 0;
  return { name, type: entry.type, size, modified: toDate(entry.modified) };
}

/** A link into a folder that cannot be read is as good as broken. */
async function tryLink<File extends VolumeFile>(
  search: Search<File>,
  folder: Folder<File>,
  link: IsoLink,
): Promise<Found<File> | undefined> {
  try {
    return await followLink(search, folder, link);
  } catch (error) {
    if (error instanceof ServiceError) return undefined;
    throw error;
  }
}

async function linkEntry<File extends VolumeFile>(
  search: Search<File>,
  folder: Folder<File>,
  name: string,
  link: IsoLink,
): Promise<Entry> {
  const found = await tryLink(search, folder, link);
  if (found !== undefined) return { ...toEntry(name, found.entry), link: link.target };
  return { name, type: 'link', size: 0, modified: toDate(link.modified), link: link.target };
}

async function listFolder<File extends VolumeFile>(search: Search<File>, folder: Folder<File>): Promise<Entry[]> {
  const turns = new Turns();
  const entries: Entry[] = [];
  for (const [name, entry] of await folder.children(search.budget)) {
    if (turns.isDue) await turns.take();
    if (entry.type !== 'link') entries.push(toEntry(name, entry));
    else entries.push(await linkEntry(search, folder, name, entry));
  }
  return entries;
}

/** The tree of an open volume: links are followed inside it. Finds nothing any more once it is closed. */
export class VolumeTree<File extends VolumeFile> implements Tree {
  #closed = false;

  constructor(private readonly using: Using<File>) {}

  close(): void {
    this.#closed = true;
  }

  // A method, as it changes while a function waits, which TypeScript would not believe of the field.
  #isClosed(): boolean {
    return this.#closed;
  }

  async lookup(path: readonly string[], match: Match): Promise<Node | undefined> {
    if (this.#isClosed()) return undefined;
    return this.using(async (access): Promise<Node | undefined> => {
      const { root, newBudget, open, keep } = access;
      const found = await lookup(root, path, match, newBudget());
      if (found === undefined || this.#isClosed()) return undefined;
      const { entry } = found;
      if (entry.type === 'file') return { type: 'file', file: await open(entry, found.path) };
      return {
        type: 'folder',
        modified: toDate(entry.modified),
        list: () => {
          if (this.#isClosed()) return Promise.reject(new ServiceError('NOT_FOUND', 'The image is no longer there'));
          return keep(() => listFolder({ root, match, budget: newBudget() }, entry));
        },
      };
    });
  }
}
