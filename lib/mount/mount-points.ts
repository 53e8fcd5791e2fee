import { createHash } from 'node:crypto';
import { mkdir, realpath, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError, systemCode } from '../errors.js';
import { readMounts } from './mountinfo.js';

/** Folders for one image before something is badly wrong. */
const maxPoints = 100;

/** An image's id, as `randomUUID` makes it, or what stands for another one: nobody else's folders are called so. */
const uuid = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const isUuid = new RegExp(`^${uuid}$`);
const pointName = new RegExp(`^(${uuid}|[0-9a-f]{32})(\\.[1-9][0-9]?)?$`);

/** Whether a folder is called as one that `MountPoints` makes. */
export function isPointName(name: string): boolean {
  return pointName.test(name);
}

/** Whether an empty folder was made; false when something is in the way. */
async function makeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
    await mkdir(path);
    return true;
  } catch (error) {
    // Files inside, or a file or link in its place, or a mount that has come in this moment.
    if (['ENOTEMPTY', 'ENOTDIR', 'EEXIST', 'EBUSY'].includes(systemCode(error) ?? '')) return false;
    throw error;
  }
}

/** What an image's mount point is called: its id, or a hash of an id that is no UUID. */
function nameOf(id: string): string {
  return isUuid.test(id) ? id : createHash('sha256').update(id).digest('hex').slice(0, 32);
}

/** The folders that images are mounted on, all inside one folder. */
export class MountPoints {
  /** Those in use: between `make` and the mount, mountinfo does not tell yet. */
  readonly #taken = new Set<string>();

  /** @param folder is made when it is missing */
  constructor(private readonly folder: string) {}

  /**
   * Makes an empty folder to mount on, named after the image and never a place where something is mounted: that would
   * be hidden, and nobody could tell later whose mount is whose.
   * @returns its absolute path, without links
   * @throws ServiceError INTERNAL when the folder for all of them cannot be made, UNAVAILABLE when nothing is free
   */
  async make(id: string): Promise<string> {
    try {
      await mkdir(this.folder, { recursive: true });
      return await this.#makeIn(await realpath(this.folder), nameOf(id));
    } catch (cause) {
      if (cause instanceof ServiceError) throw cause;
      const reason = systemCode(cause) ?? 'unknown';
      throw new ServiceError('INTERNAL', `The folder to mount ISOs in cannot be used: ${reason}`, { cause });
    }
  }

  async #makeIn(folder: string, name: string): Promise<string> {
    const mounted = new Set((await readMounts()).map(({ point }) => point));
    for (let number = 0; number < maxPoints; number++) {
      const path = join(folder, number === 0 ? name : `${name}.${number}`);
      if (this.#taken.has(path) || mounted.has(path)) continue;
      this.#taken.add(path);
      if (await makeEmpty(path)) return path;
      this.#taken.delete(path);
    }
    throw new ServiceError('UNAVAILABLE', `${maxPoints} mount points of this image are in use`);
  }

  /** Removes a folder that `make` made, when nothing is mounted on it. Never rejects. */
  async remove(path: string): Promise<void> {
    // One that cannot be removed is skipped by the next `make`, or removed by it.
    await rmdir(path).catch(() => undefined);
    this.#taken.delete(path);
  }
}
