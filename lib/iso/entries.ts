import type { Budget } from './budget.js';

/** Bytes of a logical sector: what folders are padded to and descriptors are aligned to (ECMA-119 6.1.2). */
export const sectorBytes = 2048;

/** Gives exactly `length` bytes of the .iso from `offset` on, or rejects. In bytes. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** The `offset` of an extent that reads as zeros and is stored nowhere. */
export const hole = -1;

/** A run of bytes of the .iso, or of zeros. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** How a file is compressed in blocks by zisofs, version 1 (the ZF field of its record). */
export interface Zisofs {
  /** Bytes before the table of block pointers. */
  readonly headerBytes: number;
  /** Bytes that every block but the last one holds once it is decompressed. */
  readonly blockBytes: number;
  /** Bytes of the whole file once it is decompressed. */
  readonly size: number;
}

/** A regular file: its bytes are those of its extents, in order. None of them is empty or leaves the .iso. */
export interface IsoFile {
  readonly type: 'file';
  readonly extents: readonly Extent[];
  /** Bytes: the sum of the extents, or of a compressed file what they decompress to. */
  readonly size: number;
  /** Only of a file in several sections (ECMA-119 6.5.1), also where they follow each other and are one extent. */
  readonly isSectioned?: true;
  /** Only of a compressed file: what its extents hold is read by `ZisofsReader`. */
  readonly zisofs?: Zisofs;
  /** Milliseconds since 1970; undefined when no valid time is recorded. */
  readonly modified: number | undefined;
}

/** A folder of a volume whose files are described by `File`. */
export interface Folder<File> {
  readonly type: 'folder';
  /** From the root, without a slash at either end: empty for the root itself. */
  readonly path: string;
  readonly modified: number | undefined;
  /** Undefined for the root. */
  readonly parent: Folder<File> | undefined;
  /**
   * What it holds, by name; read when first asked for, then kept for a while.
   * @param budget what the reading may cost
   * @throws ServiceError BROKEN_ISO when that is not enough
   */
  children(budget?: Budget): Promise<ReadonlyMap<string, File | Folder<File> | IsoLink>>;
  /** As `children`, for one who keeps it himself: read anew, and not kept here. */
  read(budget?: Budget): Promise<ReadonlyMap<string, File | Folder<File> | IsoLink>>;
}

export type IsoFolder = Folder<IsoFile>;

/** A symbolic link of Rock Ridge or UDF. */
export interface IsoLink {
  readonly type: 'link';
  /** Where it points, as it is stored: relative to its folder, or from the image's root with a leading slash. */
  readonly target: string;
  readonly modified: number | undefined;
}

export type IsoEntry = IsoFile | IsoFolder | IsoLink;

/** The entries of a folder by name, in the order of their records. */
export type Children = ReadonlyMap<string, IsoEntry>;

/** The path of what is in a folder. */
export function pathIn({ path }: { readonly path: string }, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}
