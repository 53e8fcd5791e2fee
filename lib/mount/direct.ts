import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { ServiceError, systemCode } from '../errors.js';
import type { IsoFile, IsoFolder, IsoLink } from '../iso/entries.js';
import { followLink, lookup, type Search } from '../iso/lookup.js';
import { openIso, type Volume } from '../iso/volume.js';
import { Budget } from '../iso/budget.js';
import type { Entry, Match, Node, OpenFile, Tree } from '../tree.js';
import { openIsoFile } from './iso-file.js';
import type { MountDriver, MountSource } from './mount.js';

/** Entries between two turns of the event loop in one listing: all of them may be links, and all links long. */
const linksPerTurn = 512;

/** The descriptor of an .iso: closed when the mount and every file that was opened through it have let go. */
class SharedFile {
  #holders = 0;

  constructor(private readonly handle: FileHandle) {}

  get descriptor(): number {
    return this.handle.fd;
  }

  /** @returns lets go again; safe to call twice, never rejects */
  hold(): () => Promise<void> {
    this.#holders++;
    let isHeld = true;
    return async () => {
      if (!isHeld) return;
      isHeld = false;
      // Nothing was written through it: a failure to close loses nothing.
      if (--this.#holders === 0) await this.handle.close().catch(() => undefined);
    };
  }

  async stat(): Promise<BigIntStats> {
    try {
      return await this.handle.stat({ bigint: true });
    } catch (cause) {
      throw new ServiceError('INTERNAL', `The ISO cannot be read: ${systemCode(cause) ?? 'unknown'}`, { cause });
    }
  }

  /** Gives what there is, up to `length` bytes. */
  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#readOnce(buffer, filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  async #readOnce(buffer: Buffer, filled: number, position: number): Promise<{ bytesRead: number }> {
    try {
      return await this.handle.read(buffer, filled, buffer.length - filled, position);
    } catch (cause) {
      const reason = systemCode(cause) ?? 'unknown';
      throw new ServiceError('INTERNAL', `The ISO cannot be read at byte ${position}: ${reason}`, { cause });
    }
  }
}

function toDate(milliseconds: number | undefined): Date | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds);
}

function toEntry(name: string, entry: IsoFile | IsoFolder): Entry {
  const size = entry.type === 'file' ? entry.size : 0;
  return { name, type: entry.type, size, modified: toDate(entry.modified) };
}

/** A link into a folder that cannot be read is as good as broken. */
async function tryLink(search: Search, folder: IsoFolder, link: IsoLink): Promise<IsoFile | IsoFolder | undefined> {
  try {
    return await followLink(search, folder, link);
  } catch (error) {
    if (error instanceof ServiceError) return undefined;
    throw error;
  }
}

async function linkEntry(search: Search, folder: IsoFolder, name: string, link: IsoLink): Promise<Entry> {
  const found = await tryLink(search, folder, link);
  if (found !== undefined) return { ...toEntry(name, found), link: link.target };
  return { name, type: 'link', size: 0, modified: toDate(link.modified), link: link.target };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** Without a digest, what tells this file from another one here: a changed file has another time or size. */
function tagBaseOf(digest: string | undefined, volume: Volume, stats: BigIntStats): string {
  if (digest !== undefined) return shortHash(`digest ${digest}`);
  return shortHash(`file ${volume.identity} ${stats.mtimeNs} ${stats.size}`);
}

/** What an .iso holds, for as long as nobody writes into it. */
interface Reading {
  readonly stats: BigIntStats;
  readonly volume: Volume;
  readonly sha256: string | undefined;
  /** Stands for the bytes of the whole .iso in every tag. */
  readonly tagBase: string;
}

async function readVolume(file: SharedFile, source: MountSource): Promise<Reading> {
  const stats = await file.stat();
  const volume = await openIso((offset, length) => file.read(offset, length), Number(stats.size));
  const sha256 = source.digest?.(stats);
  return { stats, volume, sha256, tagBase: tagBaseOf(sha256, volume, stats) };
}

/** The tree of an open volume; finds nothing any more once it is closed. */
class IsoTree implements Tree {
  #closed = false;
  #renewal: Promise<Reading> | undefined;

  constructor(
    private readonly file: SharedFile,
    private readonly source: MountSource,
    private reading: Reading,
  ) {}

  close(): void {
    this.#closed = true;
  }

  // A method, as it changes while a function waits, which TypeScript would not believe of the field.
  #isClosed(): boolean {
    return this.#closed;
  }

  async lookup(path: readonly string[], match: Match): Promise<Node | undefined> {
    if (this.#isClosed()) return undefined;
    // Held while reading: the descriptor must not be closed, and its number given to another file, in between.
    const release = this.file.hold();
    try {
      const reading = await this.#read();
      const found = await lookup(reading.volume, path, match);
      if (found === undefined || this.#isClosed()) return undefined;
      if (found.type === 'file') return { type: 'file', file: this.#openFile(reading, found) };
      return { type: 'folder', modified: toDate(found.modified), list: () => this.#list(reading, found, match) };
    } finally {
      await release();
    }
  }

  /**
   * The volume as it is now. A file that was copied over in place is read anew: under the old tags its bytes would be
   * taken for the old ones.
   */
  async #read(): Promise<Reading> {
    const { size, mtimeNs } = await this.file.stat();
    const { stats } = this.reading;
    if (size === stats.size && mtimeNs === stats.mtimeNs) return this.reading;
    this.#renewal ??= readVolume(this.file, this.source).finally(() => (this.#renewal = undefined));
    try {
      this.reading = await this.#renewal;
    } catch (cause) {
      throw new ServiceError('UNAVAILABLE', 'The ISO of this image was changed and cannot be read now', { cause });
    }
    return this.reading;
  }

  #openFile({ tagBase }: Reading, { extents, size, modified }: IsoFile): OpenFile {
    const place = extents[0]?.offset ?? 0;
    return {
      descriptor: this.file.descriptor,
      extents,
      size,
      modified: toDate(modified),
      tag: `${tagBase}-${place.toString(36)}-${size.toString(36)}`,
      close: this.file.hold(),
    };
  }

  async #list({ volume }: Reading, folder: IsoFolder, match: Match): Promise<Entry[]> {
    if (this.#isClosed()) throw new ServiceError('NOT_FOUND', 'The image is no longer there');
    const release = this.file.hold();
    try {
      const search = { volume, match, budget: new Budget() };
      const entries: Entry[] = [];
      for (const [name, entry] of await volume.children(folder)) {
        if (entry.type !== 'link') entries.push(toEntry(name, entry));
        else entries.push(await linkEntry(search, folder, name, entry));
        if (entries.length % linksPerTurn === 0) await turn();
      }
      return entries;
    } finally {
      await release();
    }
  }
}

/** Reads the ISO in this process: no root, no loop device, no kernel module, no second copy. */
export const directDriver: MountDriver = {
  async mount(source) {
    const file = new SharedFile(await openIsoFile(source.path));
    const release = file.hold();
    try {
      const reading = await readVolume(file, source);
      const tree = new IsoTree(file, source, reading);
      const unmount = () => {
        tree.close();
        return release();
      };
      const { volume, sha256, stats } = reading;
      return { tree, view: volume.view, label: volume.label, bytes: Number(stats.size), sha256, unmount };
    } catch (error) {
      await release();
      throw error;
    }
  },
};
