import { readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere, messageOf, systemCode } from '../errors.js';
import type { Log } from '../log.js';
import { replaceFile } from './durable.js';
import { Turns } from './turns.js';

/** What identifies the bytes of a file as long as nobody writes into it. */
export interface Stamp {
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

interface Digest {
  readonly sha256: string;
  readonly size: string;
  readonly mtimeNs: string;
}

function membersOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

function isDigest(value: unknown): value is Digest {
  const { sha256, size, mtimeNs } = Object.fromEntries(membersOf(value));
  return [sha256, size, mtimeNs].every((member) => typeof member === 'string');
}

/**
 * What a store knows of its files beside what the disk tells, in a file of its own. Lost, it costs validators that
 * differ between replicas, and links that have to be made anew.
 */
export class StoreState {
  readonly #digests = new Map<string, Digest>();
  readonly #links = new Map<string, string>();
  readonly #turns = new Turns();

  private constructor(
    private readonly file: string,
    private readonly log: Log,
  ) {}

  /**
   * @param file where the state is kept
   * @param folder of the store
   */
  static async open(file: string, folder: string, log: Log): Promise<StoreState> {
    const state = new StoreState(file, log);
    await state.#recall(folder).catch((error: unknown) => {
      log.warning(`${file} is not readable and will be replaced: ${messageOf(error)}`);
    });
    return state;
  }

  /** The SHA-256 of a file that came through this service and has not been written to since. */
  digestOf(name: string, stamp: Stamp): string | undefined {
    const known = this.#digests.get(name);
    return known?.size === String(stamp.size) && known.mtimeNs === String(stamp.mtimeNs) ? known.sha256 : undefined;
  }

  isLink(name: string): boolean {
    return this.#links.has(name);
  }

  /** Whether a link that the service knows leads to the file. */
  leadsTo(path: string): boolean {
    return [...this.#links.values()].includes(path);
  }

  /** A file has come, in place of whatever had its name. */
  async keepDigest(name: string, sha256: string, { size, mtimeNs }: Stamp): Promise<void> {
    this.#digests.set(name, { sha256, size: String(size), mtimeNs: String(mtimeNs) });
    this.#links.delete(name);
    await this.#save();
  }

  /** The service may serve where this link leads. */
  async keepLink(name: string, target: string): Promise<void> {
    if (this.#links.get(name) === target) return;
    this.#links.set(name, target);
    await this.#save();
  }

  async forget(name: string): Promise<void> {
    const known = [this.#digests.delete(name), this.#links.delete(name)];
    if (known.includes(true)) await this.#save();
  }

  /** Resolves when all changes so far are on the disk, or have failed. */
  settled(): Promise<void> {
    return this.#turns.run(() => Promise.resolve());
  }

  async #recall(folder: string): Promise<void> {
    const text = await ifThere(readFile(this.file, 'utf8'));
    if (text === undefined) return;
    const { digests, links } = Object.fromEntries(membersOf(JSON.parse(text)));
    for (const [name, digest] of membersOf(digests)) if (isDigest(digest)) this.#digests.set(name, digest);
    for (const [name, target] of membersOf(links)) {
      // A link that somebody has changed since is not the one that was allowed.
      if (typeof target === 'string' && (await leadsTo(join(folder, name), target))) this.#links.set(name, target);
    }
  }

  /** One write after the other: they share the name of the temporary file. */
  #save(): Promise<void> {
    return this.#turns.run(async () => {
      const state = { digests: Object.fromEntries(this.#digests), links: Object.fromEntries(this.#links) };
      await replaceFile(this.file, JSON.stringify(state)).catch((error: unknown) => {
        // The file itself is in its place by now, so the upload has succeeded all the same.
        this.log.warning(`${this.file} could not be written: ${messageOf(error)}`);
      });
    });
  }
}

/** Whether a link still has this target, which may be away at the moment, or leads there over other links. */
async function leadsTo(link: string, target: string): Promise<boolean> {
  const stored = await readlink(link).catch((error: unknown) => {
    if (systemCode(error) === 'EINVAL' || systemCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (stored === undefined || stored === target) return stored !== undefined;
  return (await ifThere(realpath(link))) === target;
}
