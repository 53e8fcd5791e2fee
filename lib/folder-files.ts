import { type BigIntStats, stat as statCallback, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { ifThere } from './errors.js';
import type { OpenFile } from './tree.js';

/** Half the cost of the one that Node gives out with promises, and one for each request. */
const stat = promisify(statCallback);

/**
 * Milliseconds after which a file is looked up anew, however often it is used: only so shows what has become of a folder
 * on the way to it.
 */
const keptFor = 1000;

/** Files that stay open without a user. */
const mostKept = 256;

/** A regular file that is open for reading. */
export interface FolderFile {
  readonly handle: FileHandle;
  readonly stats: BigIntStats;
  /** Absolute and free of links. */
  readonly realPath: string;
  /** Whether it may be served, by its real path: that can change. */
  readonly isServed: () => boolean;
  /** Whether no other machine and no program is asked on the way to it. */
  readonly isLocal: boolean;
  /** Whether the stats, when they were taken, told its state (`isSettled` of the tree). */
  readonly isSettled: boolean;
  /** What follows from its stats. */
  readonly seen: Omit<OpenFile, 'sha256' | 'close'>;
}

interface Open extends FolderFile {
  users: number;
  /** Milliseconds since 1970. */
  readonly openedAt: number;
  /** Whether the next one may still find it. */
  isKept: boolean;
}

/** A file in use, until `release`. */
export interface UsedFile extends FolderFile {
  /** To be called once; never rejects. */
  readonly release: () => Promise<void>;
}

/** Whether stats are of the same file in the same state. */
function isSame(a: BigIntStats, b: BigIntStats): boolean {
  const isFile = a.ino === b.ino && a.dev === b.dev;
  return isFile && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}

/** What a path leads to now; undefined when it cannot be told: the file is opened anew then, and the error said there. */
function look(path: string, isLocal: boolean): BigIntStats | undefined | Promise<BigIntStats | undefined> {
  const options = { bigint: true } as const;
  if (!isLocal) return ifThere(stat(path, options)).catch(() => undefined);
  try {
    // Not put off: of a file that is open the kernel has all of this in memory, and a thread would cost ten times as much.
    return statSync(path, options);
  } catch {
    return undefined;
  }
}

function isOld({ openedAt }: Open): boolean {
  return Date.now() - openedAt >= keptFor;
}

/** Nothing was written through it: a failure to close loses nothing. */
async function close({ handle }: Open): Promise<void> {
  await handle.close().catch(() => undefined);
}

/**
 * Open files by path. One stays open for a moment after its last user: to whoever comes next it is enough to know that
 * the path still leads to the same file, and that nobody has written into it.
 */
export class OpenFiles {
  /** Those used last stand last. */
  readonly #files = new Map<string, Open>();
  #sweep: NodeJS.Timeout | undefined;

  /** The file that is open already, if it is still what the path leads to. */
  async find(path: string): Promise<UsedFile | undefined> {
    const file = this.#files.get(path);
    if (file === undefined) return undefined;
    if (isOld(file)) {
      this.#drop(path);
      return undefined;
    }
    const used = this.#use(file);
    const stats = await look(path, file.isLocal);
    const isCurrent = stats !== undefined && isSame(stats, file.stats) && file.isServed();
    // A later one may have come in its place.
    if (this.#files.get(path) === file) {
      if (isCurrent) this.#keep(path, file);
      else this.#drop(path);
    }
    if (isCurrent) return used;
    await used.release();
    return undefined;
  }

  /** Takes over a file that a path has just led to, and closes it. */
  add(path: string, opened: FolderFile): UsedFile {
    const file = { ...opened, users: 0, openedAt: Date.now(), isKept: false };
    this.#drop(path);
    const used = this.#use(file);
    // Of one that has only just changed nobody could tell later whether it is the same.
    if (opened.isSettled) this.#keep(path, file);
    return used;
  }

  #use(file: Open): UsedFile {
    const { handle, stats, realPath, isServed, isLocal, isSettled, seen } = file;
    file.users++;
    const release = async () => {
      if (--file.users === 0 && !file.isKept) await close(file);
    };
    return { handle, stats, realPath, isServed, isLocal, isSettled, seen, release };
  }

  #keep(path: string, file: Open): void {
    this.#files.delete(path);
    this.#files.set(path, file);
    file.isKept = true;
    for (const [oldest, { users }] of this.#files) {
      if (this.#files.size <= mostKept) break;
      if (users === 0) this.#drop(oldest);
    }
    this.#sweep ??= setTimeout(() => this.#sweepOut(), keptFor).unref();
  }

  #drop(path: string): void {
    const file = this.#files.get(path);
    if (file === undefined) return;
    this.#files.delete(path);
    file.isKept = false;
    if (file.users === 0) void close(file);
  }

  #sweepOut(): void {
    this.#sweep = undefined;
    for (const [path, file] of this.#files) if (isOld(file)) this.#drop(path);
    if (this.#files.size > 0) this.#sweep = setTimeout(() => this.#sweepOut(), keptFor).unref();
  }
}
