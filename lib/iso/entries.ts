/** Bytes of a logical sector: what folders are padded to and descriptors are aligned to (ECMA-119 6.1.2). */
export const sectorBytes = 2048;

/** Gives exactly `length` bytes of the .iso from `offset` on, or rejects. In bytes. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** A run of bytes of the .iso. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** A regular file: its bytes are those of its extents, in order. None of them is empty or leaves the .iso. */
export interface IsoFile {
  readonly type: 'file';
  readonly extents: readonly Extent[];
  /** Bytes: the sum of the extents. */
  readonly size: number;
  /** Milliseconds since 1970; undefined when no valid time is recorded. */
  readonly modified: number | undefined;
}

/** A folder: the place of its directory records. */
export interface IsoFolder {
  readonly type: 'folder';
  readonly offset: number;
  readonly length: number;
  readonly modified: number | undefined;
  /** Undefined for the root. */
  readonly parent: IsoFolder | undefined;
  /** Folders above this one: 0 for the root. */
  readonly depth: number;
}

/** A Rock Ridge symbolic link. */
export interface IsoLink {
  readonly type: 'link';
  /** Where it points, as it is stored: relative to its folder, or from the image's root with a leading slash. */
  readonly target: string;
  readonly modified: number | undefined;
}

export type IsoEntry = IsoFile | IsoFolder | IsoLink;

/** The entries of a folder by name, in the order of their records. */
export type Children = ReadonlyMap<string, IsoEntry>;
