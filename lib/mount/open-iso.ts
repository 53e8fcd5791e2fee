import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ServiceError } from '../errors.js';
import { Flights } from '../flights.js';
import type { IsoFile } from '../iso/entries.js';
import { bounded, openIso, type Volume } from '../iso/volume.js';
import { ZisofsReader } from '../iso/zisofs.js';
import { type OpenFile, sourceOf } from '../tree.js';
import { openIsoFile } from './iso-file.js';
import type { MountSource } from './mount.js';
import { SharedFile } from './shared-file.js';
import { tagBaseOf, tagOf } from './tag.js';
import type { Access } from './volume-tree.js';

/** What an .iso holds, for as long as nobody writes into it. */
export interface Reading {
  readonly stats: BigIntStats;
  readonly volume: Volume;
  readonly sha256: string | undefined;
  /** Stands for the bytes of the whole .iso in every tag. */
  readonly tagBase: string;
}

/** What can be said of the bytes of an .iso by now: its digest may become known only later. */
function identify({ stats, volume }: Pick<Reading, 'stats' | 'volume'>, source: MountSource): Reading {
  const sha256 = source.digest?.(stats);
  const { size, mtimeNs, ctimeNs } = stats;
  const tagBase = tagBaseOf(sha256, volume.view, volume.identity, mtimeNs, ctimeNs, size);
  return { stats, volume, sha256, tagBase };
}

async function readVolume(file: SharedFile, source: MountSource): Promise<Reading> {
  const stats = await file.stat();
  const volume = await openIso((offset, length) => file.read(offset, length), Number(stats.size), source);
  return identify({ stats, volume }, source);
}

/** An .iso that is open, and the volume that was read from it. */
export class OpenIso {
  readonly #stats = new Flights<BigIntStats>();
  #renewal: Promise<Reading> | undefined;
  /** The ctime, in nanoseconds, of a change that was none of its bytes. */
  #movedAt: bigint | undefined;

  private constructor(
    private readonly file: SharedFile,
    private readonly source: MountSource,
    public reading: Reading,
    /** Lets go of the .iso, which is closed with the last file that was opened in it. */
    readonly release: () => Promise<void>,
  ) {}

  get descriptor(): number {
    return this.file.descriptor;
  }

  /** @throws ServiceError as `MountDriver.mount` does */
  static async open(source: MountSource): Promise<OpenIso> {
    const file = await SharedFile.over(await openIsoFile(source.path));
    const release = file.hold();
    try {
      return new OpenIso(file, source, await readVolume(file, source), release);
    } catch (error) {
      await release();
      throw error;
    }
  }

  async use<T>(work: (access: Access<IsoFile>) => Promise<T>): Promise<T> {
    return this.#keep(async () => {
      const reading = await this.#read();
      const { root, newBudget } = reading.volume;
      const open = (file: IsoFile, path: string) => this.#openFile(reading, file, path);
      return work({ root, newBudget, open, keep: (more) => this.#keep(more) });
    });
  }

  // The descriptor must not be closed while it is read, and its number given to another file.
  async #keep<T>(work: () => Promise<T>): Promise<T> {
    const release = this.file.hold();
    try {
      return await work();
    } finally {
      await release();
    }
  }

  /**
   * The volume as it is now. A file that was copied over in place is read anew: under the old tags its bytes would be
   * taken for the old ones.
   */
  async #read(): Promise<Reading> {
    if (await this.#isChanged()) {
      this.#renewal ??= readVolume(this.file, this.source).finally(() => (this.#renewal = undefined));
      try {
        this.reading = await this.#renewal;
      } catch (cause) {
        throw new ServiceError('UNAVAILABLE', 'The ISO of this image was changed and cannot be read now', { cause });
      }
    } else if (this.reading.sha256 === undefined && this.source.digest?.(this.reading.stats) !== undefined) {
      // With the tags that it would have after the next start.
      this.reading = identify(this.reading, this.source);
    }
    return this.reading;
  }

  async #isChanged(): Promise<boolean> {
    const now = await this.#stats.run('', () => this.file.stat());
    const { stats } = this.reading;
    if (now.size !== stats.size || now.mtimeNs !== stats.mtimeNs) return true;
    if (now.ctimeNs === stats.ctimeNs || now.ctimeNs === this.#movedAt) return false;
    // Who writes can set the time back. But a file that is deleted, renamed or replaced changes too, and its bytes
    // do not: it goes on being served as it was.
    if (await isAt(this.source.path, stats)) return true;
    this.#movedAt = now.ctimeNs;
    return false;
  }

  #openFile({ tagBase, stats }: Reading, entry: IsoFile, path: string): OpenFile {
    const { size, modified } = entry;
    return {
      descriptor: this.file.descriptor,
      ...this.#contentOf(entry, Number(stats.size)),
      source: sourceOf(stats),
      size,
      modified: modified === undefined ? undefined : new Date(modified),
      tag: tagOf(tagBase, path, size),
      close: this.file.hold(),
    };
  }

  /** @param bytes of the .iso */
  #contentOf({ extents, zisofs }: IsoFile, bytes: number): Pick<OpenFile, 'extents' | 'read'> {
    if (zisofs === undefined) return { extents };
    const read = bounded((offset, length) => this.file.read(offset, length), bytes);
    const reader = new ZisofsReader(read, extents, zisofs);
    // Without extents, nobody can take what is stored for what is in the file.
    return { extents: [], read: (position, length) => reader.read(position, length) };
  }
}

/** Whether this file is still the one at the path. */
async function isAt(path: string, { dev, ino }: BigIntStats): Promise<boolean> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found?.dev === dev && found.ino === ino;
}

/**
 * Makes sure that the file at a path is the one that was read: who mounts it opens it once more.
 * @throws ServiceError UNAVAILABLE
 */
export async function requireSame(path: string, { stats }: Reading): Promise<void> {
  if (await isAt(path, stats)) return;
  throw new ServiceError('UNAVAILABLE', 'The ISO was deleted or replaced before it was mounted');
}
