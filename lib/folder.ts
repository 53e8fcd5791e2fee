import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, readlink, realpath, type FileHandle } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { ServiceError, ifThere, systemCode } from './errors.js';
import { type FolderFile, OpenFiles, type UsedFile } from './folder-files.js';
import { LocalFolders } from './folder-local.js';
import { forEachBounded, namesIn } from './folder-names.js';
import { SharedLookups } from './folder-lookups.js';
import { modifiedOf, tagOf } from './folder-stats.js';
import { type Entry, isSettled, type Match, type Node, type OpenFile, sourceOf, type Tree } from './tree.js';

/** The folder of the service's own files, such as uploads in transit: never found and never listed, in no spelling. */
export const privateFolder = '.image-service';

/** What a folder tree serves and what it does not. Real paths are absolute and free of links. */
export interface FolderOptions {
  /** Whether a link may lead out of the root to this regular file. Without it no link leads out. */
  allowedOutside?(realPath: string): boolean;
  /** Whether this file or folder, with all below it, is the service's own: never found, never listed. */
  hidden?(realPath: string): boolean;
  /** The SHA-256 of exactly the bytes that these stats belong to, when it is known. */
  digest?(realPath: string, stats: BigIntStats): string | undefined;
}

/** Something on disk that is pinned down by a descriptor: no rename or new link can make it something else. */
interface Held {
  readonly descriptor: number;
  readonly stats: BigIntStats;
  readonly realPath: string;
}

// Linux opens with this flag without the side effects of opening: a FIFO does not block, a tape does not rewind and a
// watchdog does not start, whatever a link in an uploaded ISO points at. Node has no name for it.
const O_PATH = 0o10000000;
const readOnly = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

function refusal(cause: unknown): ServiceError {
  if (cause instanceof ServiceError) return cause;
  const code = systemCode(cause) ?? '';
  if (/^(EACCES|EPERM)$/.test(code)) return new ServiceError('FORBIDDEN', 'No permission to read this', { cause });
  if (/^(EMFILE|ENFILE)$/.test(code)) return new ServiceError('UNAVAILABLE', 'Too many files are open', { cause });
  return new ServiceError('INTERNAL', 'This cannot be read', { cause });
}

function isPrivate(name: string): boolean {
  return name.toLowerCase() === privateFolder;
}

// The kernel would take `a/b` apart again and Node throws on NUL: neither is the name of a file.
function canBeFound(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name) && !isPrivate(name);
}

function throughDescriptor(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

async function hold(handle: FileHandle): Promise<Held> {
  const path = await readlink(throughDescriptor(handle.fd));
  const stats = await handle.stat({ bigint: true });
  // proc(5): the kernel marks what was removed since it was opened; the count of links, read later, confirms it.
  const realPath = stats.nlink === 0n ? path.replace(/ \(deleted\)$/, '') : path;
  return { descriptor: handle.fd, stats, realPath };
}

class FolderTree implements Tree {
  readonly #files = new OpenFiles();
  readonly #local = new LocalFolders();

  constructor(
    private readonly root: string,
    private readonly options: FolderOptions,
  ) {}

  async lookup(path: readonly string[], match: Match): Promise<Node | undefined> {
    if (!path.every(canBeFound)) return undefined;
    try {
      const used = await this.#files.find([this.root, ...path].join('/'));
      if (used !== undefined) return { type: 'file', file: await this.#file(used) };
      const root = await ifThere(realpath(this.root));
      if (root === undefined) return undefined;
      const found = await this.#find(root, path);
      if (found !== undefined || match === 'exact') return found;
      const stored = await this.#storedNames(root, path);
      return stored && (await this.#find(root, stored));
    } catch (error) {
      throw refusal(error);
    }
  }

  #find(root: string, path: readonly string[]): Promise<Node | undefined> {
    return this.#holding(root, [root, ...path].join('/'), async (held): Promise<Node> => {
      if (!held.stats.isFile())
        return { type: 'folder', modified: modifiedOf(held.stats), list: () => this.#list(root, held.realPath) };
      // Opened again through the descriptor that was checked: a second open by name could meet another file.
      const handle = await open(throughDescriptor(held.descriptor), readOnly);
      const ownPath = [this.root, ...path].join('/');
      const { stats, realPath } = held;
      // Before anything else is waited for, in which time the file may change.
      const known = { handle, stats, realPath, isSettled: isSettled(stats), seen: describe(handle, stats) };
      const onTheWay = await Promise.all([ownPath, realPath].map((one) => this.#local.has(dirname(one))));
      const used = this.#files.add(ownPath, {
        ...{ ...known, isLocal: !onTheWay.includes(false) },
        isServed: () => this.#isServed(root, held),
      });
      return { type: 'file', file: await this.#file(used) };
    });
  }

  /** Holds what a path leads to for as long as `use` runs; undefined when nothing that is served is there. */
  async #holding<T>(root: string, path: string, use: (held: Held) => Promise<T>): Promise<T | undefined> {
    const handle = await ifThere(open(path, O_PATH));
    if (handle === undefined) return undefined;
    try {
      const held = await hold(handle);
      return this.#isServed(root, held) ? await use(held) : undefined;
    } finally {
      // Not waited for: nothing depends on it.
      void handle.close().catch(() => undefined);
    }
  }

  #isServed(root: string, { stats, realPath }: Held): boolean {
    const above = root === '/' ? '' : root;
    if (realPath === root) return stats.isDirectory();
    if (realPath.startsWith(`${above}/`)) {
      return (stats.isFile() || stats.isDirectory()) && !this.#isOurs(above, realPath.slice(above.length));
    }
    return stats.isFile() && !this.#isOurs('', realPath) && (this.options.allowedOutside?.(realPath) ?? false);
  }

  /** Whether a path, or a folder on the way to it, belongs to the service itself. */
  #isOurs(above: string, below: string): boolean {
    let path = above;
    for (const name of below.split('/').slice(1)) {
      path += `/${name}`;
      if (isPrivate(name) || this.options.hidden?.(path)) return true;
    }
    return false;
  }

  async #file({ seen, stats, realPath, release }: UsedFile): Promise<OpenFile> {
    try {
      const sha256 = this.options.digest?.(realPath, stats);
      return { ...seen, tag: sha256 ?? seen.tag, sha256, close: release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** The path as the disk spells it, without regard to case; undefined when a segment has no match. */
  async #storedNames(root: string, path: readonly string[]): Promise<string[] | undefined> {
    const stored: string[] = [];
    for (const segment of path) {
      const name = await this.#holding(root, [root, ...stored].join('/'), (held) => this.#storedName(held, segment));
      if (name === undefined) return undefined;
      stored.push(name);
    }
    return stored;
  }

  async #storedName(held: Held, segment: string): Promise<string | undefined> {
    if (await ifThere(lstat(`${throughDescriptor(held.descriptor)}/${segment}`))) return segment;
    return ifThere(this.#firstInAnyCase(held, segment.toLowerCase()));
  }

  async #firstInAnyCase(held: Held, lower: string): Promise<string | undefined> {
    let first: string | undefined;
    for await (const name of this.#names(held)) {
      if (name.toLowerCase() === lower && (first === undefined || name < first)) first = name;
    }
    return first;
  }

  async *#names(held: Held): AsyncGenerator<string> {
    for await (const name of namesIn(throughDescriptor(held.descriptor))) {
      if (!isPrivate(name) && !this.options.hidden?.(join(held.realPath, name))) yield name;
    }
  }

  async #list(root: string, path: string): Promise<Entry[]> {
    const entries: Entry[] = [];
    try {
      const listed = await this.#holding(root, path, async (held) => {
        await forEachBounded(this.#names(held), async (name) => {
          const entry = await this.#entry(root, `${throughDescriptor(held.descriptor)}/${name}`, name);
          if (entry) entries.push(entry);
        });
        return true;
      });
      if (listed) return entries;
    } catch (error) {
      throw refusal(error);
    }
    throw new ServiceError('NOT_FOUND', 'This folder no longer exists');
  }

  /** One line of the listing; undefined for what is no file, folder or link, and for what cannot be looked at. */
  async #entry(root: string, path: string, name: string): Promise<Entry | undefined> {
    const stats = await readable(lstat(path, { bigint: true }));
    if (!stats?.isSymbolicLink()) return stats && entryOf(name, stats);
    const led = await readable(this.#holding(root, path, (held) => Promise.resolve(entryOf(name, held.stats))));
    const link = await readable(readlink(path));
    if (!led || link === undefined) return { name, type: 'link', size: 0, modified: modifiedOf(stats) };
    // An absolute target would tell clients how the host's disk is laid out.
    return isAbsolute(link) ? led : { ...led, link };
  }
}

/** What the stats of an open file say of it. */
function describe(handle: FileHandle, stats: BigIntStats): FolderFile['seen'] {
  const size = Number(stats.size);
  return {
    descriptor: handle.fd,
    extents: size > 0 ? [{ offset: 0, length: size }] : [],
    source: sourceOf(stats),
    size,
    modified: modifiedOf(stats),
    tag: tagOf(stats),
  };
}

function entryOf(name: string, stats: BigIntStats): Entry | undefined {
  const modified = modifiedOf(stats);
  if (stats.isDirectory()) return { name, type: 'folder', size: 0, modified };
  return stats.isFile() ? { name, type: 'file', size: Number(stats.size), modified } : undefined;
}

// One bad entry must not spoil a listing; but when descriptors are short, a listing without its entries would be wrong.
async function readable<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (refusal(error).code === 'UNAVAILABLE') throw error;
    return undefined;
  }
}

/**
 * The tree of a folder on disk. What is served is decided on the open descriptor, never on a name, so that no change of
 * links in between leads out of the root.
 * @param root may be missing, then nothing is found until it is there
 * @returns lookups and listings throw ServiceError FORBIDDEN (no permission), UNAVAILABLE (too many open files) or
 * INTERNAL; a listing also NOT_FOUND, when its folder has gone
 */
export function folderTree(root: string, options: FolderOptions = {}): Tree {
  return new SharedLookups(new FolderTree(root, options));
}
