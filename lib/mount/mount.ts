import { type View, type ViewChoice, viewChoices } from '../iso/volume.js';
import type { Stamp, Tree } from '../tree.js';

export { type ViewChoice, viewChoices };

/** What can make a tree of an ISO: our reader, the kernel, or FUSE. */
export const driverNames = ['direct', 'loop', 'fuse'] as const;
export type DriverName = (typeof driverNames)[number];

/** What another process needs to serve an ISO that this one has open. */
export interface SharedIso {
  readonly path: string;
  /** The same file, whatever has become of its path: for who may look into this process (proc_pid_fd(5)). */
  readonly descriptorPath: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly view: ViewChoice;
  readonly maxEntries: number | undefined;
}

/** An ISO that has become a tree. It goes on being served as it was, whatever happens to the file's name on disk. */
export interface Mount {
  readonly driver: DriverName;
  /** Why this driver, when it is not the one that comes first. */
  readonly why?: string;
  readonly tree: Tree;
  /** Which of the ISO's trees is shown; `bundle` where it is made of several files. */
  readonly view: View | 'bundle';
  /** The volume identifier, trimmed. */
  readonly label: string;
  /** Firmware can boot the disc itself (El Torito). */
  readonly isBootable: boolean;
  /** Bytes of the .iso. */
  readonly bytes: number;
  /** SHA-256 of the .iso in hexadecimal, when it was known. */
  readonly sha256: string | undefined;
  /** For another process that is to serve the same ISO; undefined where a driver cannot share it. */
  readonly shared?: SharedIso;
  /**
   * Takes the mount away: lookups find nothing from the call on. Open files can be read to their end. Never rejects.
   * @returns what is still to come, in words for an operator: undefined when the mount has gone
   */
  unmount(): Promise<string | undefined>;
}

export interface MountSource {
  /** Of the image. */
  readonly id: string;
  /** Absolute path of the .iso. */
  readonly path: string;
  /** The tree to show of those that the disc has. */
  readonly view?: ViewChoice;
  /** Entries that one request may have read. */
  readonly maxEntries?: number;
  /**
   * Tells the SHA-256 of the bytes that were opened when it is known; it makes validators equal on every replica. Asked
   * about the open file: its name may lead to another one by now.
   */
  readonly digest?: (opened: Stamp) => string | undefined;
}

export interface MountDriver {
  readonly name: DriverName | 'auto';
  /**
   * @throws ServiceError NOT_FOUND (no such file), BAD_REQUEST (not a regular file), NOT_AN_ISO, TRUNCATED, BROKEN_ISO,
   * UNSUPPORTED_ISO, FORBIDDEN, UNAVAILABLE (the machine does not let the driver work now). The messages end up in an
   * image's `error`: words for an operator, without host paths.
   */
  mount(source: MountSource): Promise<Mount>;
}
