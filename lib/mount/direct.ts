import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { ServiceError, systemCode } from '../errors.js';
import type { IsoFile, IsoFolder, IsoLink } from '../iso/entries.js';
import { followLink, lookup, type Search } from '../iso/lookup.js';
import { openIso, type Volume } from '../iso/volume.js';
import { Budget } from '../iso/budget.js';
import type { Entry, FolderNode, Match, Node, OpenFile, Tree } from '../tree.js';
import { openIsoFile } from './iso-file.js';
import type { Mount, MountDriver, MountSource } from './mount.js';

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
      throw new ServiceError('BROKEN_ISO', `The ISO cannot be read at byte ${position}: ${reason}`, { cause });
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

/** The tree of an open volume; finds nothing any more once it is closed. */
class IsoTree implements Tree {
  #closed = false;

  /** @param tagBase stands for the bytes of the whole .iso in every tag */
  constructor(
    private readonly file: SharedFile,
    private readonly volume: Volume,
    private readonly tagBase: string,
  ) {}

  close(): void {
    this.#closed = true;
  }

  #isClosed(): boolean {
    return this.#closed;
  }

  async lookup(path: readonly string[], match: Match): Promise<Node | undefined> {
    if (this.#isClosed()) return undefined;
    // Held while reading: the descriptor must not be closed, and its number given to another file, in between.
    const release = this.file.hold();
    try {
      const found = await lookup(this.volume, path, match);
      if (found === undefined || this.#isClosed()) return undefined;
      return found.type === 'file' ? { type: 'file', file: this.#openFile(found) } : this.#folderNode(found, match);
    } finally {
      await release();
    }
  }

  #openFile({ extents, size, modified }: IsoFile): OpenFile {
    const place = extents[0]?.offset ?? 0;
    return {
      descriptor: this.file.descriptor,
      extents,
      size,
      modified: toDate(modified),
      tag: `${this.tagBase}-${place.toString(36)}-${size.toString(36)}`,
      close: this.file.hold(),
    };
  }

  #folderNode(folder: IsoFolder, match: Match): FolderNode {
    return { type: 'folder', modified: toDate(folder.modified), list: () => this.#list(folder, match) };
  }

  async #list(folder: IsoFolder, match: Match): Promise<Entry[]> {
    if (this.#isClosed()) throw new ServiceError('NOT_FOUND', 'The image is no longer there');
    const release = this.file.hold();
    try {
      const search = { volume: this.volume, match, budget: new Budget() };
      const entries: Entry[] = [];
      for (const [name, entry] of await this.volume.children(folder)) {
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

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** Without a digest, what tells this file from another one here: a changed file has another time or size. */
function tagBaseOf(digest: string | undefined, volume: Volume, stats: BigIntStats): string {
  if (digest !== undefined) return shortHash(`digest ${digest}`);
  return shortHash(`file ${volume.identity} ${stats.mtimeNs} ${stats.size}`);
}

async function mountHandle(handle: FileHandle, source: MountSource): Promise<Mount> {
  const stats = await handle.stat({ bigint: true });
  const file = new SharedFile(handle);
  const bytes = Number(stats.size);
  const volume = await openIso((offset, length) => file.read(offset, length), bytes);
  const digest = source.digest?.(stats);
  const tree = new IsoTree(file, volume, tagBaseOf(digest, volume, stats));
  const release = file.hold();
  return {
    tree,
    view: volume.view,
    label: volume.label,
    bytes,
    sha256: digest,
    unmount: () => {
      tree.close();
      return release();
    },
  };
}

/** Reads the ISO in this process: no root, no loop device, no kernel module, no second copy. */
export const directDriver: MountDriver = {
  async mount(source) {
    const handle = await openIsoFile(source.path);
    try {
      return await mountHandle(handle, source);
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
  },
};
