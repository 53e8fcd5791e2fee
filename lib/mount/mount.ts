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
  /** Lets go of the ISO as soon as the last open file is closed; lookups find nothing from the call on. Never rejects. */
  unmount(): Promise<void>;
}

export interface MountSource {
  /** Absolute path of the .iso. */
  readonly path: string;
  /**
   * What stands for the bytes of the whole .iso in validators, equal on every replica: its SHA-256 when known.
   * Without it the driver takes what identifies the file here: volume descriptors, size and times.
   */
  readonly digest?: string;
}

export interface MountDriver {
  /**
   * @throws ServiceError NOT_FOUND (no such file), NOT_AN_ISO, TRUNCATED, BROKEN_ISO, UNSUPPORTED_ISO. The messages
   * end up in an image's `error`: words for an operator, without host paths.
   */
  mount(source: MountSource): Promise<Mount>;
}
