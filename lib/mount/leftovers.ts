import { lstat, readdir, readFile, realpath, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, systemCode } from '../errors.js';
import { isPointName } from './mount-points.js';
import { type MountEntry, readMounts } from './mountinfo.js';
import { unmount, type UnmountOptions } from './unmount.js';
import { usualPatience } from './patience.js';

/** Mounts upon each other that are taken away, so that there is an end whatever umount says. */
const maxLayers = 100;

export interface LeftoverOptions {
  /** The folder in which images are mounted. */
  readonly mountDir: string;
  /** Whether the .iso at a path, perhaps deleted since, is one of the service's. */
  readonly isOurs: (path: string) => boolean;
  readonly unmount?: Partial<UnmountOptions>;
  /** Where the kernel describes its block devices. */
  readonly sysBlock?: string;
}

/** The file behind a loop device; undefined when the source is none, or has none any more. */
async function backingFile(source: string, sysBlock: string): Promise<string | undefined> {
  const device = /^\/dev\/(loop[0-9]+)$/.exec(source)?.[1];
  if (device === undefined) return undefined;
  const text = await readFile(join(sysBlock, device, 'loop/backing_file'), 'utf8').catch(() => undefined);
  return text?.replace(/\n$/, '').replace(/ \(deleted\)$/, '');
}

async function isOurMount(name: string, mount: MountEntry, options: LeftoverOptions): Promise<boolean> {
  const { type, source } = mount;
  // It does not tell of which .iso it is.
  if (type === 'fuse.fuseiso') return isPointName(name);
  const path = await backingFile(source, options.sysBlock ?? '/sys/block');
  return path !== undefined && options.isOurs(path);
}

function depthOf({ point }: MountEntry): number {
  return point.split('/').length;
}

/** The uppermost mount of each place inside a folder, the deepest places first. */
async function mountsInside(folder: string): Promise<MountEntry[]> {
  const inside = (await readMounts()).filter(({ point }) => point.startsWith(`${folder}/`));
  const uppermost = new Map(inside.map((mount) => [mount.point, mount]));
  return [...uppermost.values()].sort((one, other) => depthOf(other) - depthOf(one));
}

/** Takes away what can be, once: under a mount there may be another one. */
async function sweep(folder: string, skip: Map<string, string>, options: LeftoverOptions): Promise<number> {
  let count = 0;
  for (const mount of await mountsInside(folder)) {
    const { point, type, source } = mount;
    if (skip.has(point)) continue;
    const name = point.slice(folder.length + 1);
    if ([...skip.keys()].some((other) => other.startsWith(`${point}/`))) {
      skip.set(point, `${name} is left mounted, with what is mounted inside`);
    } else if (!(await isOurMount(name, mount, options))) {
      skip.set(point, `${name} is left alone: ${source} (${type}) is not of this service`);
    } else {
      // Its process may be dead or hang: a FUSE mount is not even asked. Whoever still reads there may go on.
      const result = await unmount({ point }, { ...usualPatience, ...options.unmount }, type.startsWith('fuse'));
      if (result.type === 'failed') skip.set(point, `${name} was left by an earlier run and stays: ${result.words}`);
      else count++;
    }
  }
  return count;
}

/** Removes the empty folders that mounts leave behind. */
async function removeFolders(folder: string, mounted: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (mounted.has(path) || !isPointName(name)) continue;
    // A folder that holds something is not ours to remove, and a file is no folder.
    if ((await lstat(path)).isDirectory()) await rmdir(path).catch(() => undefined);
  }
}

async function clear(options: LeftoverOptions): Promise<string[]> {
  const folder = await realpath(options.mountDir);
  const left = new Map<string, string>();
  let taken = 0;
  for (let layer = 0; layer < maxLayers; layer++) {
    const count = await sweep(folder, left, options);
    if (count === 0) break;
    taken += count;
  }
  const mounted = new Set((await readMounts()).map(({ point }) => point));
  await removeFolders(folder, mounted);
  const lines = [...left.values()];
  return taken > 0 ? [`${taken} mounts of an earlier run were taken away`, ...lines] : lines;
}

/**
 * Takes away the mounts that an earlier run of the service has left, because it was killed. Ours are those below our
 * folder that come from an .iso of ours, and those of fuseiso that are called as ours are; any other one is left alone.
 * Never rejects: whatever is wrong with a mount must not keep the service from starting.
 * @returns what was done and what was not, a line for the log each
 */
export async function clearLeftovers(options: LeftoverOptions): Promise<string[]> {
  try {
    return await clear(options);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    return [`The mounts of an earlier run could not be looked for: ${messageOf(error)}`];
  }
}
