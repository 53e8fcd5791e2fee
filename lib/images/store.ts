import { lstat, mkdir, readdir, realpath, rename, rm, stat, statfs, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError, ifThere, messageOf, systemCode } from '../errors.js';
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

/** What is known of a file before it arrives. */
export interface ExpectedFile {
  /** Bytes, exactly. */
  readonly length?: number | undefined;
  /** Bytes that it takes at most; its length, unless that is not known. */
  readonly room?: number;
  /** Looks at the complete file before it gets its name, and throws to refuse it. */
  readonly check?: (path: string) => Promise<void>;
}

/** A store takes any file, unless it is told otherwise. */
const accept: (path: string) => Promise<void> = () => Promise.resolve();

/** A flat folder of files, such as the store of ISOs. Names are checked by whoever takes them from a client. */
export class Store {
  readonly #receiving = new Map<string, IncomingFile>();
  readonly #removing = new Set<string>();

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
      const left = name.endsWith('.part') ? rm(inPrivate(name), { force: true }) : undefined;
      await left?.catch((error: unknown) => log.warning(`A leftover cannot be removed: ${messageOf(error)}`));
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
    // The folder can be gone for a while: a disk that is not mounted, or a careless hand.
    const names = await readdir(this.folder).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
      return [];
    });
    const shown = names.filter((name) => !name.startsWith('.'));
    const files = await Promise.all(shown.map((name) => this.find(name)));
    return files.filter((file) => file !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The complete file of this name; undefined when there is none, or something that is no file. */
  async find(name: string): Promise<StoredFile | undefined> {
    return this.#removing.has(name) ? undefined : this.#read(name);
  }

  async #read(name: string): Promise<StoredFile | undefined> {
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

  /** Whether a name is a link to a file elsewhere on the server. */
  isLink(name: string): boolean {
    return this.state.isLink(name);
  }

  /** Whether a link of this store, made by this service, leads to the file. */
  leadsTo(path: string): boolean {
    return this.state.leadsTo(path);
  }

  /**
   * Claims a name for a file that is about to arrive. Nobody else can until that has ended.
   * @throws ServiceError BUSY (it is arriving already), EXISTS (a folder has the name), NO_SPACE
   */
  async receive(name: string, expected: ExpectedFile = {}): Promise<IncomingFile> {
    const { length, room = length ?? 0, check = accept } = expected;
    this.#refuseBusy(name);
    const move = (finished: IncomingFile) => this.#keep(name, finished);
    const incoming = new IncomingFile(this.#private, length, check, move, () => this.#receiving.delete(name));
    this.#receiving.set(name, incoming);
    try {
      await mkdir(this.#private, { recursive: true });
      const present = await ifThere(lstat(this.pathOf(name)));
      if (present?.isDirectory()) throw new ServiceError('EXISTS', `${name} is a folder; choose another name`);
      await this.reserve(incoming, room);
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
    this.#refuseBusy(name);
    await mkdir(this.folder, { recursive: true });
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
    this.#refuseBusy(name);
    // At once, so that no image can be made from it any more.
    this.#removing.add(name);
    try {
      const stats = await ifThere(lstat(this.pathOf(name)));
      if (!stats?.isSymbolicLink() && !stats?.isFile()) {
        throw new ServiceError('NOT_FOUND', `There is no file ${name} in the store`);
      }
      // A link whose target has gone is removed too: nothing else could.
      const file = (await this.#read(name)) ?? { name, bytes: 0, modified: stats.mtime, sha256: undefined };
      await ifThere(rm(this.pathOf(name)));
      await syncFolder(this.folder);
      await this.state.forget(name);
      return file;
    } finally {
      this.#removing.delete(name);
    }
  }

  /**
   * Sees to it that there is room for a file that is arriving, beside what the others were promised.
   * @param bytes that it takes at most
   * @throws ServiceError NO_SPACE
   */
  async reserve(arriving: IncomingFile, bytes: number): Promise<void> {
    arriving.promised = bytes;
    const { bavail, bsize } = await statfs(this.folder);
    let promised = 0;
    for (const other of this.#receiving.values()) promised += Math.max(0, other.promised - other.bytes);
    if (promised <= bavail * bsize) return;
    throw new ServiceError('NO_SPACE', `There is no room for ${bytes} bytes; ${bavail * bsize} bytes are free`);
  }

  #refuseBusy(name: string): void {
    if (this.#receiving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded`);
    if (this.#removing.has(name)) throw new ServiceError('BUSY', `${name} is being deleted`);
  }

  async #keep(name: string, finished: IncomingFile): Promise<void> {
    const stats = await stat(finished.path, { bigint: true });
    await rename(finished.path, this.pathOf(name));
    await syncFolder(this.folder);
    await this.state.keepDigest(name, finished.sha256, stats);
  }
}
