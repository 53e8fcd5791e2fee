import type { Tree } from '../tree.js';

/** An ISO that has become a tree. It goes on being served as it was, whatever happens to the file's name on disk. */
export interface Mount {
  readonly tree: Tree;
  /** Which of the ISO's trees is shown. */
  readonly view: 'rockridge' | 'joliet' | 'iso9660';
  /** The volume identifier, trimmed. */
  readonly label: string;
  /** Bytes of the .iso. */
  readonly bytes: number;
  /** SHA-256 of the .iso in hexadecimal, when it was known. */
  readonly sha256: string | undefined;
  /** Lets go of the ISO as soon as the last open file is closed; lookups find nothing from the call on. Never rejects. */
  unmount(): Promise<void>;
}

export interface MountSource {
  /** Absolute path of the .iso. */
  readonly path: string;
  /**
   * Tells the SHA-256 of the bytes that were opened, by their size in bytes and time, when it is known; it makes
   * validators equal on every replica. Asked about the open file: its name may lead to another one by now.
   */
  readonly digest?: (opened: { readonly size: bigint; readonly mtimeNs: bigint }) => string | undefined;
}

export interface MountDriver {
  /**
   * @throws ServiceError NOT_FOUND (no such file), BAD_REQUEST (not a regular file), NOT_AN_ISO, TRUNCATED, BROKEN_ISO,
   * UNSUPPORTED_ISO. The messages end up in an image's `error`: words for an operator, without host paths.
   */
  mount(source: MountSource): Promise<Mount>;
}
