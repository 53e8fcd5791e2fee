import { lstat, mkdir, readdir, realpath, rename, rm, stat, statfs, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError, ifThere, messageOf, systemCode } from '../errors.js';
import { privateFolder } from '../folder.js';
import type { Log } from '../log.js';
import type { Stamp } from '../tree.js';
import { makeFolder, syncFolder } from './durable.js';
import { BackgroundDigests, checkOwnName } from './background-digests.js';
import type { Hashing } from './hashing.js';
import type { IncomingFile } from './incoming-file.js';
import type { KnownFile } from './known-files.js';
import { Parts } from './parts.js';
import { type Arrived, type ExpectedFile, Receiving, type ReceivingOptions } from './receiving.js';
import { StoreState } from './store-state.js';

/** A file of a store. */
export interface StoredFile {
  readonly name: string;
  readonly bytes: number;
  readonly modified: Date;
  /** Hexadecimal; undefined for a file that did not come through this service. */
  readonly sha256: string | undefined;
}

export interface StoreOptions extends Pick<ReceivingOptions, 'keptFor' | 'silentAfter' | 'began' | 'received'> {
  readonly log: Log;
  readonly hashing: Hashing;
  /** Is told what becomes known of a file, and waited for; undefined when nothing is known any more. */
  readonly tell?: (name: string, known: KnownFile | undefined) => Promise<unknown>;
}

/** Milliseconds between two looks at what has waited too long, and at what came by another way. */
const sweepInterval = 60_000;

/** A flat folder of files, such as the store of ISOs. Names are checked by whoever takes them from a client. */
export class Store {
  readonly #receiving: Receiving;
  readonly #removing = new Set<string>();
  readonly #background: BackgroundDigests;
  readonly #sweep: NodeJS.Timeout;
  /** Gives the files that are on their way into the store. */
  readonly arriving = () => this.#receiving.all();

  private constructor(
    readonly folder: string,
    private readonly state: StoreState,
    parts: Parts,
    private readonly options: StoreOptions,
  ) {
    this.#receiving = new Receiving(folder, parts, {
      ...options,
      move: (name, finished) => this.#keep(name, finished),
    });
    this.#background = new BackgroundDigests(folder, state, options);
    this.#sweep = setInterval(() => void this.#tidy(), sweepInterval).unref();
  }

  /** Opens the folder, which is made if missing, and clears away what an earlier run left and nobody can continue. */
  static async open(path: string, options: StoreOptions): Promise<Store> {
    const { hashing, log, tell } = options;
    await makeFolder(join(path, privateFolder));
    // Its files are recognised by the real paths of their open descriptors.
    const folder = await realpath(path);
    const inPrivate = (name: string) => join(folder, privateFolder, name);
    const parts = await Parts.open(inPrivate(''), hashing, log);
    const state = await StoreState.open(inPrivate('store.json'), folder, log, tell);
    const store = new Store(folder, state, parts, options);
    await store.#tidy();
    return store;
  }

  /** Ends what goes on in the background, and uploads, of which what has arrived is kept. */
  async stop(): Promise<void> {
    clearInterval(this.#sweep);
    this.#background.stop();
    await this.#receiving.stop();
    await this.state.settled();
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
    const files = await Promise.all(names.filter((name) => !name.startsWith('.')).map((name) => this.find(name)));
    const found = files.filter((file) => file !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { name, sha256 } of found) if (sha256 === undefined) this.#background.add(name);
    return found;
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

  /** How much of a file is there: of one that is arriving, or has broken off, or is complete; undefined: nothing. */
  async arrived(name: string): Promise<Arrived | undefined> {
    const arrived = this.#receiving.arrived(name);
    if (arrived !== undefined) return arrived;
    const file = await this.find(name);
    return file && { bytes: file.bytes, length: file.bytes, isComplete: true };
  }

  /**
   * Claims a name for a file that is about to arrive. Nobody else can until that has ended.
   * @throws ServiceError BAD_REQUEST (a name of the service's own), EXISTS (a folder has the name), and the errors of
   * `Receiving.receive`
   */
  async receive(name: string, expected: ExpectedFile = {}): Promise<IncomingFile> {
    checkOwnName(name);
    this.#refuseRemoving(name);
    return this.#receiving.receive(name, expected);
  }

  /** Gives up what has arrived from a source, where that broke off. */
  abandon(name: string, source: string): Promise<void> {
    return this.#receiving.abandon(name, source);
  }

  /** Links a file from elsewhere on the server into the store, under a name that must be free or already that link. */
  async link(name: string, target: string): Promise<void> {
    const path = this.pathOf(name);
    const taken = () => new ServiceError('EXISTS', `The store already has another ${name}; it is not replaced`);
    checkOwnName(name);
    this.#refuseBusy(name);
    await mkdir(this.folder, { recursive: true });
    if ((await ifThere(realpath(path))) === target) {
      await this.adopt(name);
      return;
    }
    await symlink(target, path).catch((error: unknown) => {
      throw systemCode(error) === 'EEXIST' ? taken() : error;
    });
    try {
      await syncFolder(this.folder);
      await this.adopt(name);
    } catch (error) {
      // Of a link that nobody knows the listing would tell, and the file server would not follow it.
      await rm(path, { force: true });
      throw error;
    }
  }

  /** Remembers a link that is in the store already, such as one that the released service made. */
  async adopt(name: string): Promise<void> {
    const stats = await ifThere(lstat(this.pathOf(name)));
    if (!stats?.isSymbolicLink()) return;
    const target = await ifThere(realpath(this.pathOf(name)));
    if (target !== undefined) await this.state.keepLink(name, target);
  }

  /**
   * Removes a file, or the link to one, and what has arrived of another one of that name.
   * @returns its record as it was
   * @throws ServiceError NOT_FOUND, BUSY (a new file of that name is arriving)
   */
  async remove(name: string): Promise<StoredFile> {
    await this.#receiving.endBroken(name);
    this.#refuseBusy(name);
    // At once, so that no image can be made from it any more.
    this.#removing.add(name);
    try {
      const part = await this.#receiving.drop(name);
      const stats = await ifThere(lstat(this.pathOf(name)));
      if (!stats?.isSymbolicLink() && !stats?.isFile()) {
        if (part) return { name, bytes: part.bytes, modified: new Date(part.touched), sha256: undefined };
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

  /** The file system's free bytes, and those that the store's files take. */
  async space(): Promise<{ readonly free: number; readonly used: number }> {
    const [{ bavail, bsize }, files] = await Promise.all([statfs(this.folder), this.list()]);
    return { free: bavail * bsize, used: files.reduce((sum, { bytes }) => sum + bytes, this.#receiving.bytes) };
  }

  /** Brings the list of all digests, for `sha256sum --check`, up to date. */
  checksums(): Promise<void> {
    return this.#background.writeList(() => this.list());
  }

  #refuseRemoving(name: string): void {
    if (this.#removing.has(name)) throw new ServiceError('BUSY', `${name} is being deleted`);
  }

  #refuseBusy(name: string): void {
    this.#receiving.refuseBusy(name);
    this.#refuseRemoving(name);
  }

  async #keep(name: string, finished: IncomingFile): Promise<void> {
    const before = await stat(finished.path, { bigint: true });
    await rename(finished.path, this.pathOf(name));
    await syncFolder(this.folder);
    // The new name is a change of the file: its ctime is known only now.
    const { ino, size, mtimeNs, ctimeNs } = await stat(this.pathOf(name), { bigint: true });
    const isIt = ino === before.ino && size === before.size && mtimeNs === before.mtimeNs;
    if (isIt) await this.state.keepDigest(name, finished.sha256, { size, mtimeNs, ctimeNs });
    else await this.state.forget(name);
  }

  async #tidy(): Promise<void> {
    await this.#receiving.expire();
    // For those that came by another way.
    await this.list().catch((error: unknown) => this.options.log.warning(messageOf(error)));
  }
}
