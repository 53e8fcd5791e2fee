import type { Reading } from './open-iso.js';

/** A mount that a program has just made. */
export interface Attached {
  /** Resolves when the process behind it has ended, with the reason. */
  readonly ended?: Promise<string>;
  /** Ends that process. */
  readonly kill?: () => void;
}

/** What a driver does of its own. */
export interface Attacher {
  /**
   * Refuses what it would not serve rightly: asked before the first mount of an .iso, and again when that was changed.
   * @throws ServiceError UNSUPPORTED_ISO, and as `MountDriver.mount` does
   */
  check?(reading: Reading): Promise<void>;
  /**
   * Makes the mount.
   * @param path of the .iso, absolute
   * @param point an empty folder
   * @throws ServiceError UNAVAILABLE, UNSUPPORTED_ISO; whatever it did is undone by the caller
   */
  attach(path: string, point: string): Promise<Attached>;
}
