import { lstat, mkdir, readdir, realpath, rename, rm, stat, statfs, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError, ifThere, systemCode } from '../errors.js';
import { privateFolder } from '../folder.js';
import type { Log } from '../log.js';
import { makeFolder, syncFolder } from './durable.js';
import { IncomingFile } from './incoming-file.js';
import { type Stamp, StoreState } from './store-state.js';

/** A file of a store. */
export interface StoredFile {
  readonly name: string;
  readonly bytes: number;
  readonly modified: Date;
  /** Hexadecimal; undefined for a file that did not come through this service. */
  readonly sha256: string | undefined;
}

/** A store takes any file, unless it is told otherwise. */
const accept: (path: string) => Promise<void> = () => Promise.resolve();

/** A flat folder of files, such as the store of ISOs. Names are checked by whoever takes them from a client. */
export class Store {
  readonly #receiving = new Map<string, IncomingFile>();

  private constructor(
    readonly folder: string,
    private readonly state: StoreState,
  ) {}

  /** Opens the folder, which is made if missing, and clears away what an earlier run left unfinished. */
  static async open(path: string, log: Log): Promise<Store> {
    await makeFolder(join(path, privateFolder));
    // Its files are recognised by the real paths of their open descriptors.
    const folder = await realpath(path);
    const inPrivate = (name: string) => join(folder, privateFolder, name);
    for (const name of await readdir(inPrivate(''))) {
      if (name.endsWith('.part')) await rm(inPrivate(name), { force: true });
    }
    return new Store(folder, await StoreState.open(inPrivate('store.json'), folder, log));
  }

  get #private(): string {
    return join(this.folder, privateFolder);
  }

  /** Where a file of this name is, or would be. */
  pathOf(name: string): string {
    return join(this.folder, name);
  }

  /** The complete files, by name. */
  async list(): Promise<StoredFile[]> {
    const names = (await readdir(this.folder)).filter((name) => !name.startsWith('.'));
    const files = await Promise.all(names.map((name) => this.find(name)));
    return files.filter((file) => file !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The complete file of this name; undefined when there is none, or something that is no file. */
  async find(name: string): Promise<StoredFile | undefined> {
    const stats = await ifThere(stat(this.pathOf(name), { bigint: true })).catch((error: unknown) => {
      // A link may lead into a folder that is closed to the service; that must not spoil the list of the others.
      if (systemCode(error) !== 'EACCES') throw error;
      return undefined;
    });
    if (!stats?.isFile()) return undefined;
    const { size, mtime } = stats;
    return { name, bytes: Number(size), modified: mtime, sha256: this.digestOf(name, stats) };
  }

  /** The SHA-256 of a file that came through this service and has not been written to since. */
  digestOf(name: string, stamp: Stamp): string | undefined {
    return this.state.digestOf(name, stamp);
  }

  /** Whether a link of this store, made by this service, leads to the file. */
  leadsTo(path: string): boolean {
    return this.state.leadsTo(path);
  }

  /**
   * Claims a name for a file that is about to arrive. Nobody else can until that has ended.
   * @param length bytes, when known
   * @param check looks at the complete file before it gets its name, and throws to refuse it
   * @throws ServiceError BUSY (it is arriving already), EXISTS (a folder has the name), NO_SPACE
   */
  async receive(name: string, length: number | undefined, check = accept): Promise<IncomingFile> {
    if (this.#receiving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded already`);
    const move = (finished: IncomingFile) => this.#keep(name, finished);
    const incoming = new IncomingFile(this.#private, length, check, move, () => this.#receiving.delete(name));
    this.#receiving.set(name, incoming);
    try {
      await mkdir(this.#private, { recursive: true });
      const present = await ifThere(lstat(this.pathOf(name)));
      if (present?.isDirectory()) throw new ServiceError('EXISTS', `${name} is a folder; choose another name`);
      await this.#checkSpace(incoming);
    } catch (error) {
      await incoming.discard();
      throw error;
    }
    return incoming;
  }

  /** Links a file from elsewhere on the server into the store, under a name that must be free or already that link. */
  async link(name: string, target: string): Promise<void> {
    const path = this.pathOf(name);
    const taken = () => new ServiceError('EXISTS', `The store already has another ${name}; it is not replaced`);
    if (this.#receiving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded`);
    if ((await ifThere(realpath(path))) !== target) {
      await symlink(target, path).catch((error: unknown) => {
        throw systemCode(error) === 'EEXIST' ? taken() : error;
      });
      await syncFolder(this.folder);
    }
    await this.adopt(name);
  }

  /** Remembers a link that is in the store already, such as one that the released service made. */
  async adopt(name: string): Promise<void> {
    const stats = await ifThere(lstat(this.pathOf(name)));
    if (!stats?.isSymbolicLink()) return;
    const target = await ifThere(realpath(this.pathOf(name)));
    if (target !== undefined) await this.state.keepLink(name, target);
  }

  /**
   * Removes a file, or the link to one.
   * @returns its record as it was
   * @throws ServiceError NOT_FOUND, BUSY (a new file of that name is arriving)
   */
  async remove(name: string): Promise<StoredFile> {
    if (this.#receiving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded`);
    const stats = await ifThere(lstat(this.pathOf(name)));
    const isLink = stats?.isSymbolicLink() ?? false;
    if (stats === undefined || (!isLink && !stats.isFile())) {
      throw new ServiceError('NOT_FOUND', `There is no file ${name} in the store`);
    }
    // A link whose target has gone is removed too: nothing else could.
    const file = (await this.find(name)) ?? { name, bytes: 0, modified: stats.mtime, sha256: undefined };
    await rm(this.pathOf(name));
    await syncFolder(this.folder);
    await this.state.forget(name);
    return file;
  }

  async #keep(name: string, finished: IncomingFile): Promise<void> {
    const stats = await stat(finished.path, { bigint: true });
    await rename(finished.path, this.pathOf(name));
    await syncFolder(this.folder);
    await this.state.keepDigest(name, finished.sha256, stats);
  }

  async #checkSpace(arriving: IncomingFile): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder);
    let promised = 0;
    for (const { length, bytes } of this.#receiving.values()) promised += Math.max(0, (length ?? 0) - bytes);
    if (promised <= bavail * bsize) return;
    const message = `There is no room for ${arriving.length ?? 0} bytes; ${bavail * bsize} bytes are free`;
    throw new ServiceError('NO_SPACE', message);
  }
}
