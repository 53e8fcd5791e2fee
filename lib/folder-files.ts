import { type BigIntStats, stat as statCallback } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { ifThere } from './errors.js';
import { isSettled, stateOf } from './tree.js';

/** Half the cost of the one that Node gives out with promises, and one for each request. */
const stat = promisify(statCallback);

/** Milliseconds that a file stays open after its last user. */
const keptFor = 1000;

/** Milliseconds after which it is looked up anew, however often it is used: what a folder on the way has become shows only so. */
const checkedFor = 1000;

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
}

interface Open extends FolderFile {
  readonly state: string;
  users: number;
  /** Milliseconds since 1970. */
  usedAt: number;
  readonly checkedAt: number;
  /** Whether the next one may still find it. */
  isKept: boolean;
}

/** A file in use, until `release`. */
export interface UsedFile extends FolderFile {
  /** Safe to call twice; never rejects. */
  readonly release: () => Promise<void>;
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
    if (Date.now() - file.checkedAt >= checkedFor) {
      this.#drop(path);
      return undefined;
    }
    const used = this.#use(file);
    // What cannot be looked at now is opened anew, and the error is said there.
    const stats = await ifThere(stat(path, { bigint: true })).catch(() => undefined);
    // A later one may have come in its place.
    const isCurrent = this.#files.get(path) === file;
    if (isCurrent && stats !== undefined && stateOf(stats) === file.state && file.isServed()) {
      this.#keep(path, file);
      return used;
    }
    this.#forget(path, file);
    await used.release();
    return undefined;
  }

  /** Takes over a file that a path has just led to, and closes it. */
  add(path: string, { handle, stats, realPath, isServed }: FolderFile): UsedFile {
    const [state, now] = [stateOf(stats), Date.now()];
    const file = { handle, stats, realPath, isServed, state, users: 0, usedAt: now, checkedAt: now, isKept: false };
    const former = this.#files.get(path);
    if (former !== undefined) this.#forget(path, former);
    // Nobody could tell whether it is the same one later.
    const used = this.#use(file);
    if (isSettled(stats)) this.#keep(path, file);
    return used;
  }

  #use(file: Open): UsedFile {
    file.users++;
    let isHeld = true;
    const release = async () => {
      if (!isHeld) return;
      isHeld = false;
      file.usedAt = Date.now();
      if (--file.users === 0 && !file.isKept) await close(file);
    };
    return { ...file, release };
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

  #forget(path: string, file: Open): void {
    if (this.#files.get(path) === file) this.#drop(path);
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
    for (const [path, { users, usedAt }] of this.#files) {
      if (users === 0 && Date.now() - usedAt >= keptFor) this.#drop(path);
    }
    if (this.#files.size > 0) this.#sweep = setTimeout(() => this.#sweepOut(), keptFor).unref();
  }
}
