import {
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  statfs,
  symlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError, systemCode } from '../errors.js';
import { privateFolder } from '../folder.js';
import type { Log } from '../log.js';
import { replaceFile, syncFolder } from './durable.js';
import { Reception } from './reception.js';

/** A file of a store. */
export interface StoredFile {
  readonly name: string;
  readonly bytes: number;
  readonly modified: Date;
  /** Hexadecimal; undefined for a file that did not come through this service. */
  readonly sha256: string | undefined;
}

/** What identifies the bytes of a file as long as nobody writes into it. */
interface Stamp {
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

interface Digest {
  readonly sha256: string;
  readonly size: string;
  readonly mtimeNs: string;
}

/** What the store remembers about its files; lost, it costs nothing but validators that differ between replicas. */
interface Memory {
  readonly digests: Record<string, Digest>;
  /** Links that the service made, with the file that each leads to: the only ones that may be served. */
  readonly links: Record<string, string>;
}

/** A flat folder of files, such as the store of ISOs. Names are checked by whoever takes them from a client. */
export class Store {
  readonly #receiving = new Map<string, Reception>();
  readonly #digests = new Map<string, Digest>();
  readonly #links = new Map<string, string>();
  #lastWrite: Promise<void> = Promise.resolve();

  private constructor(
    readonly folder: string,
    private readonly log: Log,
  ) {}

  /** Opens the folder, which is made if missing, and clears away what an earlier run left unfinished. */
  static async open(folder: string, log: Log): Promise<Store> {
    await mkdir(folder, { recursive: true });
    // Its files are recognised by the real paths of their open descriptors.
    const store = new Store(await realpath(folder), log);
    await mkdir(store.#private, { recursive: true });
    for (const name of await readdir(store.#private)) {
      if (name.endsWith('.part')) await rm(join(store.#private, name), { force: true });
    }
    await store.#recall();
    return store;
  }

  get #private(): string {
    return join(this.folder, privateFolder);
  }

  get #memoryFile(): string {
    return join(this.#private, 'store.json');
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
    const stats = await stat(this.pathOf(name), { bigint: true }).catch(ignoreUnreachable);
    if (!stats?.isFile()) return undefined;
    const { size, mtime } = stats;
    return { name, bytes: Number(size), modified: mtime, sha256: this.digestOf(name, stats) };
  }

  /** The SHA-256 of a file that came through this service and has not been written to since. */
  digestOf(name: string, stamp: Stamp): string | undefined {
    const known = this.#digests.get(name);
    return known?.size === String(stamp.size) && known.mtimeNs === String(stamp.mtimeNs) ? known.sha256 : undefined;
  }

  /** Whether a link of this store, made by this service, leads to the file. */
  leadsTo(path: string): boolean {
    return [...this.#links.values()].includes(path);
  }

  /**
   * Claims a name for a file that is about to arrive. Nobody else can until the reception ends.
   * @param length bytes, when known
   * @throws ServiceError BUSY (it is arriving already), EXISTS (a folder has the name), NO_SPACE
   */
  async receive(name: string, length: number | undefined): Promise<Reception> {
    if (this.#receiving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded already`);
    const move = (finished: Reception) => this.#keep(name, finished);
    const reception = new Reception(this.#private, length, move, () => this.#receiving.delete(name));
    this.#receiving.set(name, reception);
    try {
      await mkdir(this.#private, { recursive: true });
      const present = await lstat(this.pathOf(name)).catch(ignoreMissing);
      if (present?.isDirectory()) throw new ServiceError('EXISTS', `${name} is a folder; choose another name`);
      await this.#checkSpace(reception);
    } catch (error) {
      await reception.discard();
      throw error;
    }
    return reception;
  }

  /** Links a file from elsewhere on the server into the store, under a name that must be free or already that link. */
  async link(name: string, target: string): Promise<void> {
    const path = this.pathOf(name);
    const taken = () => new ServiceError('EXISTS', `The store already has another ${name}; it is not replaced`);
    if (this.#receiving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded`);
    if ((await realpath(path).catch(ignoreMissing)) !== target) {
      await symlink(target, path).catch((error: unknown) => {
        throw systemCode(error) === 'EEXIST' ? taken() : error;
      });
      await syncFolder(this.folder);
    }
    await this.adopt(name);
  }

  /** Remembers a link that is in the store already, such as one that the released service made. */
  async adopt(name: string): Promise<void> {
    const stats = await lstat(this.pathOf(name)).catch(ignoreMissing);
    if (!stats?.isSymbolicLink()) return;
    const target = await realpath(this.pathOf(name)).catch(ignoreMissing);
    if (target === undefined || this.#links.get(name) === target) return;
    this.#links.set(name, target);
    await this.#remember();
  }

  /**
   * Removes a file, or the link to one.
   * @returns its record as it was
   * @throws ServiceError NOT_FOUND, BUSY (a new file of that name is arriving)
   */
  async remove(name: string): Promise<StoredFile> {
    if (this.#receiving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded`);
    const stats = await lstat(this.pathOf(name)).catch(ignoreMissing);
    const isLink = stats?.isSymbolicLink() ?? false;
    if (stats === undefined || (!isLink && !stats.isFile())) {
      throw new ServiceError('NOT_FOUND', `There is no file ${name} in the store`);
    }
    // A link whose target has gone is removed too: nothing else could.
    const file = (await this.find(name)) ?? { name, bytes: 0, modified: stats.mtime, sha256: undefined };
    await rm(this.pathOf(name));
    await syncFolder(this.folder);
    const forgotten = [this.#digests.delete(name), this.#links.delete(name)];
    if (forgotten.includes(true)) await this.#remember();
    return file;
  }

  async #keep(name: string, finished: Reception): Promise<void> {
    const { size, mtimeNs } = await stat(finished.path, { bigint: true });
    await rename(finished.path, this.pathOf(name));
    await syncFolder(this.folder);
    this.#digests.set(name, { sha256: finished.sha256, size: String(size), mtimeNs: String(mtimeNs) });
    this.#links.delete(name);
    await this.#remember();
  }

  async #checkSpace(arriving: Reception): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder);
    let promised = 0;
    for (const { length, bytes } of this.#receiving.values()) promised += Math.max(0, (length ?? 0) - bytes);
    if (promised <= bavail * bsize) return;
    const message = `There is no room for ${arriving.length ?? 0} bytes; ${bavail * bsize} bytes are free`;
    throw new ServiceError('NO_SPACE', message);
  }

  async #recall(): Promise<void> {
    const text = await readFile(this.#memoryFile, 'utf8').catch(ignoreMissing);
    if (text === undefined) return;
    try {
      const { digests, links } = JSON.parse(text) as Memory;
      for (const [name, digest] of Object.entries(digests)) this.#digests.set(name, digest);
      for (const [name, target] of Object.entries(links)) {
        // A link that somebody has changed since is not the one that was allowed.
        if (await this.#stillLeads(name, target)) this.#links.set(name, target);
      }
    } catch (error) {
      this.log.warning(`${this.#memoryFile} is not readable and will be replaced: ${String(error)}`);
    }
  }

  async #stillLeads(name: string, target: string): Promise<boolean> {
    const stored = await readlink(this.pathOf(name)).catch(ignoreMissing);
    if (stored === undefined || stored === target) return stored !== undefined;
    return (await realpath(this.pathOf(name)).catch(ignoreMissing)) === target;
  }

  /** One write after the other: they share the name of the temporary file. */
  #remember(): Promise<void> {
    this.#lastWrite = this.#lastWrite.then(() => this.#write());
    return this.#lastWrite;
  }

  async #write(): Promise<void> {
    const memory = { digests: Object.fromEntries(this.#digests), links: Object.fromEntries(this.#links) };
    await replaceFile(this.#memoryFile, JSON.stringify(memory)).catch((error: unknown) => {
      // The file itself is in its place by now, so the upload has succeeded all the same.
      this.log.warning(`${this.#memoryFile} could not be written: ${String(error)}`);
    });
  }
}

function ignoreMissing(error: unknown): undefined {
  const code = systemCode(error);
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'EINVAL') return undefined;
  throw error;
}

/** A link may lead into a folder that is closed to the service; that must not spoil the list of the others. */
function ignoreUnreachable(error: unknown): undefined {
  if (systemCode(error) !== 'EACCES') ignoreMissing(error);
  return undefined;
}
