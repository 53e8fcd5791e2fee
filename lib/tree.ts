import type { BigIntStats } from 'node:fs';

/**
 * What the file server serves: a tree of folders and files. A plain folder on disk is one, an ISO is one, and the
 * southbound URL space is one made of both. Every file is a list of byte extents of an open file descriptor, so one
 * piece of code sends them all.
 */

/** A run of bytes of the open file, or, where `offset` is `hole`, a run of zeros that is stored nowhere. In bytes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** The `offset` of an extent that reads as zeros. */
export const hole = -1;

/** A file that is open for reading until `close()`. Size, bytes and tag all belong to the one open descriptor. */
export interface OpenFile {
  readonly descriptor: number;
  readonly extents: readonly Extent[];
  /**
   * Names what the descriptor leads to, for who keeps bytes of it: the same for all descriptors of one file, another one
   * once it has changed, and each time another one for a file that has only just changed.
   */
  readonly source: string;
  /**
   * The exception, for a file whose content is stored nowhere as it is: when present, `extents` do not count. Gives the
   * bytes from a position inside of the file on, as many as are at hand: at least one, at most `length`.
   */
  readonly read?: (position: number, length: number) => Promise<Buffer>;
  /** Bytes: the sum of the extents, where they count. */
  readonly size: number;
  /** Undefined when nothing sensible is recorded. */
  readonly modified: Date | undefined;
  /** A strong validator without its quotes (RFC 9110 8.8.3): other bytes have another tag. */
  readonly tag: string;
  /** Hexadecimal, of the whole file, where it is known. */
  readonly sha256?: string | undefined;
  /** Gives the descriptor back. Safe to call twice. */
  close(): Promise<void>;
}

/** One line of a listing. A link has the type of what it leads to, or `link` when it leads nowhere. */
export interface Entry {
  readonly name: string;
  readonly type: 'file' | 'folder' | 'link';
  /** Bytes; 0 for a folder. */
  readonly size: number;
  readonly modified: Date | undefined;
  /** Where a symbolic link points, as it is stored; left out where that would tell about the host. */
  readonly link?: string;
}

export interface FileNode {
  readonly type: 'file';
  readonly file: OpenFile;
}

export interface FolderNode {
  readonly type: 'folder';
  readonly modified: Date | undefined;
  /** In no particular order. */
  list(): Promise<Entry[]>;
}

/** A file comes open: whoever receives it closes it. */
export type Node = FileNode | FolderNode;

/** How a name is compared with the names of a folder. */
export type Match = 'exact' | 'any-case';

export interface Tree {
  /**
   * Finds what a path leads to; links are followed inside the tree and never out of it.
   * @param path decoded segments, none of them empty, `.` or `..`; `[]` is the root
   * @param match `any-case`: in each segment an exact match first, then one that differs only by case
   * @returns undefined when there is nothing at that path
   */
  lookup(path: readonly string[], match: Match): Promise<Node | undefined>;
}

/**
 * What identifies the bytes of a file as long as nobody writes into it, in bytes and nanoseconds. Nobody can set the
 * ctime back.
 */
export type Stamp = Readonly<Record<'size' | 'mtimeNs' | 'ctimeNs', bigint>>;

/** Nanoseconds in which a file can change twice and show the same time: kernels and file servers count in coarse steps. */
const coarsest = 2_000_000_000n;

/** Whether stats tell the state of a file: one that has only just changed can change again without a trace. */
export function isSettled({ ctimeNs }: Pick<BigIntStats, 'ctimeNs'>): boolean {
  return BigInt(Date.now()) * 1_000_000n - ctimeNs > coarsest;
}

/** What stats tell of the state of a file: who changes it changes those. */
export function stateOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

/** The `source` of an open file, by its stats. */
export function sourceOf(stats: BigIntStats): string {
  return isSettled(stats) ? stateOf(stats) : `${stateOf(stats)} ${performance.now()}`;
}
