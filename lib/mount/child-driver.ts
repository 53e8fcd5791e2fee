import type { Log } from '../log.js';
import type { Attacher } from './attacher.js';
import { KeptMount } from './kept-mount.js';
import { type Patience, usualPatience } from './patience.js';
import type { MountPoints } from './mount-points.js';
import type { Mount, MountDriver, MountSource } from './mount.js';
import type { OpenIso } from './open-iso.js';
import type { MountedFile } from './mounted-folder.js';
import { VolumeTree } from './volume-tree.js';

/** What the drivers by child process have in common. */
export interface ChildDriverOptions {
  /** The folder in which images are mounted, each in a folder of its own that is named after its id. */
  readonly mountDir: string;
  readonly log: Log;
  /** What is not given is as usual. */
  readonly patience?: Partial<Patience>;
}

/** A driver that may find nothing to work with on this machine. */
export interface ChildDriver extends MountDriver {
  /** Why it cannot work here, in one sentence; undefined when nothing is known to be in the way. */
  whyNot(): Promise<string | undefined>;
}

export function patienceOf({ patience }: ChildDriverOptions): Patience {
  return { ...usualPatience, ...patience };
}

/**
 * Mounts an open .iso and makes a tree of the mount. Owns `iso` from now on.
 * @throws ServiceError UNAVAILABLE, UNSUPPORTED_ISO, INTERNAL: nothing is mounted and the .iso is closed then
 */
export async function mountKept(
  driver: 'loop' | 'fuse',
  { id, path }: MountSource,
  iso: OpenIso,
  attacher: Attacher,
  points: MountPoints,
  options: ChildDriverOptions,
): Promise<Mount> {
  const kept = new KeptMount(iso, { id, path, attacher, points, patience: patienceOf(options), log: options.log });
  const { volume, sha256, stats } = iso.reading;
  try {
    await kept.open();
  } catch (error) {
    await iso.release();
    throw error;
  }
  const tree = new VolumeTree<MountedFile>((work) => kept.use(work));
  const unmount = async () => {
    tree.close();
    const words = await kept.close();
    await iso.release();
    return words;
  };
  const { view, label, isBootable } = volume;
  return { driver, tree, view, label, isBootable, bytes: Number(stats.size), sha256, unmount };
}
