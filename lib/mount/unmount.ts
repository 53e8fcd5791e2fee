import { messageOf } from '../errors.js';
import { findMount, isSameMount, type MountEntry, readMounts } from './mountinfo.js';
import { run, wordsOf } from './run.js';

/** How mounts are taken away. */
export interface UnmountOptions {
  /** Absolute path of umount(8). */
  readonly umount: string;
  /** Whether the service is root, who may call umount and let others see a FUSE mount. */
  readonly isRoot: boolean;
  /** Absolute path of fusermount(1), which takes a FUSE mount away for everybody else. */
  readonly fusermount: string;
  /** Milliseconds for each call. */
  readonly timeout: number;
}

/** The program and its arguments; `umount -l` does not even look at the mount, so a dead one cannot stop it. */
function callOf(point: string, type: string, isLazy: boolean, options: UnmountOptions): [string, string[]] {
  if (type.startsWith('fuse') && !options.isRoot)
    return [options.fusermount, ['-u', ...(isLazy ? ['-z'] : []), '--', point]];
  return [options.umount, [...(isLazy ? ['-l'] : []), '--', point]];
}

/** Where something is taken away. */
export interface Place {
  readonly point: string;
  /** The mount that may be taken away there; any one, when it is not given. */
  readonly only?: MountEntry | undefined;
}

async function tryOnce(place: Place, isLazy: boolean, options: UnmountOptions): Promise<string | undefined> {
  const { point, only } = place;
  const mounts = (await readMounts()).filter((mount) => mount.point === point);
  const mount = mounts.at(-1);
  if (mount === undefined) return undefined;
  if (only !== undefined) {
    if (!mounts.some((one) => isSameMount(one, only))) return undefined;
    // umount(8) takes whatever is uppermost.
    if (!isSameMount(mount, only)) return `another mount is upon it: ${mount.source} (${mount.type})`;
  }
  const [program, args] = callOf(point, mount.type, isLazy, options);
  const outcome = await run(program, args, options);
  if (outcome.type === 'exit' && outcome.status === 0) return undefined;
  // Somebody else may have been faster.
  if ((await findMount(point)) === undefined) return undefined;
  return wordsOf(outcome, new Map([[point, 'the mount point']]));
}

/** How an unmount went: `lazy` when it goes on in the kernel until the last user of the mount has let go. */
export type Unmounted =
  { readonly type: 'clean' } | { readonly type: 'lazy' | 'failed'; /** Why not cleanly. */ readonly words: string };

/**
 * Takes a mount away, the uppermost one at its place; when it is in use, as soon as it no longer is. Never rejects, and waits for
 * nothing without a limit.
 * @param isDead nobody answers there any more: it is not even tried to do it cleanly, which would hang
 */
export async function unmount(place: Place, options: UnmountOptions, isDead = false): Promise<Unmounted> {
  try {
    const busy = isDead ? 'it no longer answered' : await tryOnce(place, false, options);
    if (busy === undefined) return { type: 'clean' };
    const failure = await tryOnce(place, true, options);
    return failure === undefined ? { type: 'lazy', words: busy } : { type: 'failed', words: failure };
  } catch (error) {
    return { type: 'failed', words: messageOf(error) };
  }
}
