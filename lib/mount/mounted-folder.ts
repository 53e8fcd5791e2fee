import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, readlink } from 'node:fs/promises';
import { ServiceError, systemCode } from '../errors.js';
import { type Budget, readCost } from '../iso/budget.js';
import type { FolderCache } from '../iso/cache.js';
import { type Folder, type IsoLink, pathIn } from '../iso/entries.js';
import { decodeText, hasControls, isServable } from '../iso/names.js';
import { type Calls, maxCalls } from './calls.js';

/** A regular file of a mounted ISO. Size in bytes; milliseconds since 1970. */
export interface MountedFile {
  readonly type: 'file';
  readonly size: number;
  readonly modified: number;
  /** Its path from the mount point, a character for each byte: names on a disc need not be UTF-8. */
  readonly place: string;
}

type MountedEntry = MountedFile | Folder<MountedFile> | IsoLink;

/** A mount of ours, as far as reading it goes. */
export interface MountedVolume {
  /** The mount point: absolute, without links. */
  readonly point: string;
  /** Of every file inside (stat(2)): what has another one is not in this mount. */
  readonly device: bigint;
  readonly calls: Calls;
  /** What is mounted read-only does not change: what is known of a folder is good for as long as the mount is. */
  readonly cache: FolderCache<ReadonlyMap<string, MountedEntry>>;
  /** Is told that nothing can be read any more, and why. */
  readonly onLost: (why: string) => void;
}

/** A file that is open, proven to be one of the mount. */
export interface OpenMounted {
  readonly handle: FileHandle;
  /** Bytes. */
  readonly size: number;
}

const lostCodes: ReadonlySet<string | undefined> = new Set([
  'ENOTCONN', // the process of a FUSE mount is gone
  'ECONNABORTED', // and was asked something when it went
  'ESTALE',
  'ENODEV',
]);

/** What the kernel or fuseiso says of what is wrong on a disc; some of it also when the mount was taken away. */
const brokenCodes: ReadonlySet<string | undefined> = new Set([
  ...['EIO', 'EUCLEAN', 'EINVAL', 'ENAMETOOLONG', 'ELOOP', 'ENOENT', 'ENOTDIR', 'ENXIO'],
]);

function pathOf({ point }: MountedVolume, place: string): Buffer {
  return Buffer.concat([Buffer.from(point), Buffer.from(place === '' ? '' : `/${place}`, 'latin1')]);
}

function lost({ onLost }: MountedVolume, why: string, cause?: unknown): ServiceError {
  onLost(why);
  return new ServiceError('UNAVAILABLE', 'The mount of this image is gone; it is being made again', { cause });
}

/** Whether the mount point still shows this mount: somebody else may have taken it away, or mounted over it. */
async function isThere({ point, device, calls }: MountedVolume): Promise<boolean> {
  return (await calls.run(() => lstat(point, { bigint: true }))).dev === device;
}

const gone = 'something else is in its place';

/** A failed call into a mount as an error that may be shown. */
async function failureOf(volume: MountedVolume, cause: unknown): Promise<unknown> {
  if (cause instanceof ServiceError) return cause;
  const code = systemCode(cause);
  if (lostCodes.has(code)) return lost(volume, `no answer: ${code}`, cause);
  if (code === 'EACCES') {
    return new ServiceError('FORBIDDEN', 'The permissions on the disc keep the service from reading this', { cause });
  }
  if (!brokenCodes.has(code)) return cause;
  if (!(await isThere(volume).catch(() => false))) return lost(volume, gone, cause);
  return new ServiceError('BROKEN_ISO', `This part of the ISO cannot be read: ${code}`, { cause });
}

async function entryAt(volume: MountedVolume, parent: MountedFolder, raw: Buffer): Promise<MountedEntry | undefined> {
  const place = pathIn({ path: parent.place }, raw.toString('latin1'));
  const path = pathOf(volume, place);
  const stats = await lstat(path, { bigint: true });
  if (stats.dev !== volume.device) return undefined;
  const modified = Number(stats.mtimeMs);
  if (stats.isFile()) return { type: 'file', size: Number(stats.size), modified, place };
  if (stats.isDirectory()) return new MountedFolder(volume, parent, decodeText(raw), place, modified);
  if (!stats.isSymbolicLink()) return undefined;
  const target = decodeText(await readlink(path, 'buffer'));
  return hasControls(target) ? undefined : { type: 'link', target, modified };
}

/** What stands under one name; undefined when it is broken: the rest of the folder is still served. */
async function tryEntry(volume: MountedVolume, parent: MountedFolder, raw: Buffer): Promise<MountedEntry | undefined> {
  try {
    return await volume.calls.run(() => entryAt(volume, parent, raw));
  } catch (error) {
    if (brokenCodes.has(systemCode(error)) || systemCode(error) === 'EACCES') return undefined;
    throw error;
  }
}

/**
 * A folder of a mounted ISO. The kernel is never asked to follow a link: whoever looks something up goes from folder to
 * folder and resolves links by their text, so that none of an uploaded ISO leads to a file of the host.
 */
export class MountedFolder implements Folder<MountedFile> {
  readonly type = 'folder';
  readonly path: string;

  constructor(
    private readonly volume: MountedVolume,
    readonly parent: MountedFolder | undefined,
    name: string,
    /** As that of a file. */
    readonly place: string,
    readonly modified: number | undefined,
  ) {
    this.path = parent === undefined ? '' : pathIn(parent, name);
  }

  /** @throws ServiceError UNAVAILABLE when the mount is gone or does not answer, BROKEN_ISO, FORBIDDEN */
  children(budget?: Budget): Promise<ReadonlyMap<string, MountedEntry>> {
    return this.volume.cache.get(this, () => this.read(budget));
  }

  async read(budget?: Budget): Promise<ReadonlyMap<string, MountedEntry>> {
    const { volume } = this;
    try {
      const names = await volume.calls.run(() => readdir(pathOf(volume, this.place), { encoding: 'buffer' }));
      budget?.spend(readCost + names.length);
      budget?.addEntries(names.length);
      const children = await this.#entries(names);
      // When the mount was taken away meanwhile, these are folders of the host.
      if (await isThere(volume)) return children;
      throw lost(volume, gone);
    } catch (error) {
      throw await failureOf(volume, error);
    }
  }

  async #entries(names: readonly Buffer[]): Promise<ReadonlyMap<string, MountedEntry>> {
    const found = new Map<string, Buffer>();
    for (const raw of names) {
      const name = decodeText(raw);
      if (isServable(name) && !found.has(name)) found.set(name, raw);
    }
    const children = new Map<string, MountedEntry>();
    const waiting = found.entries();
    const work = async () => {
      for (const [name, raw] of waiting) {
        const entry = await tryEntry(this.volume, this, raw);
        if (entry !== undefined) children.set(name, entry);
      }
    };
    await Promise.all(Array.from({ length: maxCalls }, work));
    return children;
  }
}

async function openInside(volume: MountedVolume, place: string): Promise<OpenMounted> {
  // Neither a link nor a FIFO in the place of what was a file when its folder was read.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  const handle = await open(pathOf(volume, place), flags);
  try {
    const stats = await handle.stat({ bigint: true });
    const where = await readlink(`/proc/self/fd/${handle.fd}`, 'latin1');
    const inside = Buffer.from(`${volume.point}/`).toString('latin1');
    // Only where it begins: a Joliet file is called as whoever opened it first spelled it.
    if (stats.dev !== volume.device || !where.startsWith(inside)) throw lost(volume, gone);
    if (stats.isFile()) return { handle, size: Number(stats.size) };
    throw new ServiceError('BROKEN_ISO', 'This file of the ISO is none any more');
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Opens a file of a mounted ISO; whoever receives the handle closes it.
 * @throws ServiceError UNAVAILABLE when the mount is gone or does not answer, BROKEN_ISO, FORBIDDEN
 */
export async function openMounted(volume: MountedVolume, { place }: MountedFile): Promise<OpenMounted> {
  try {
    const discard = ({ handle }: OpenMounted) => void handle.close().catch(() => undefined);
    return await volume.calls.run(() => openInside(volume, place), discard);
  } catch (error) {
    throw await failureOf(volume, error);
  }
}
