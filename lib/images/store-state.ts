import { readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere, messageOf, systemCode } from '../errors.js';
import type { Log } from '../log.js';
import type { Stamp } from '../tree.js';
import { replaceFile } from './durable.js';
import { type Digest, digestFor, KnownFiles, type KnownFile } from './known-files.js';
import { OneAtATime } from './one-at-a-time.js';

function membersOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

function isDigest(value: unknown): value is Digest {
  const { sha256, size, mtimeNs, ctimeNs } = Object.fromEntries(membersOf(value));
  // One without ctime was kept by an earlier version: it is computed anew.
  return [sha256, size, mtimeNs, ctimeNs].every((member) => typeof member === 'string');
}

/**
 * What a store knows of its files beside what the disk tells, in a file of its own. Lost, it costs validators that
 * differ between replicas, and links that have to be made anew.
 */
export class StoreState {
  readonly #files = new KnownFiles();
  readonly #turns = new OneAtATime();

  private constructor(
    private readonly file: string,
    private readonly log: Log,
    private readonly tell: (name: string, known: KnownFile | undefined) => Promise<unknown>,
  ) {}

  /**
   * @param file where the state is kept
   * @param folder of the store
   * @param tell is told each change, also that a file has gone of which nothing was known, and waited for
   */
  static async open(
    file: string,
    folder: string,
    log: Log,
    tell: (name: string, known: KnownFile | undefined) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<StoreState> {
    const state = new StoreState(file, log, tell);
    await state.#recall(folder).catch((error: unknown) => {
      log.warning(`${file} is not readable and will be replaced: ${messageOf(error)}`);
    });
    return state;
  }

  /** The SHA-256 of a file that came through this service and has not been written to since. */
  digestOf(name: string, stamp: Stamp): string | undefined {
    return this.#files.digestOf(name, stamp);
  }

  isLink(name: string): boolean {
    return this.#files.get(name)?.link !== undefined;
  }

  /** Whether a link that the service knows leads to the file. */
  leadsTo(path: string): boolean {
    return this.#files.leadsTo(path);
  }

  /** A file has come, in place of whatever had its name. */
  keepDigest(name: string, sha256: string, stamp: Stamp): Promise<void> {
    return this.#change(name, { digest: digestFor(sha256, stamp) });
  }

  /** The service may serve where this link leads. */
  async keepLink(name: string, target: string): Promise<void> {
    const known = this.#files.get(name);
    if (known?.link !== target) await this.#change(name, { ...known, link: target });
  }

  async forget(name: string): Promise<void> {
    if (this.#files.get(name) !== undefined) await this.#change(name, undefined);
    else await this.tell(name, undefined);
  }

  /** Resolves when all changes so far are on the disk, or have failed. */
  settled(): Promise<void> {
    return this.#turns.run(() => Promise.resolve());
  }

  async #recall(folder: string): Promise<void> {
    const text = await ifThere(readFile(this.file, 'utf8'));
    if (text === undefined) return;
    const { digests, links } = Object.fromEntries(membersOf(JSON.parse(text)));
    for (const [name, digest] of membersOf(digests)) if (isDigest(digest)) this.#files.set(name, { digest });
    for (const [name, link] of membersOf(links)) {
      // A link that somebody has changed since is not the one that was allowed.
      if (typeof link !== 'string' || !(await leadsTo(join(folder, name), link))) continue;
      this.#files.set(name, { ...this.#files.get(name), link });
    }
    for (const [name, known] of this.#files.all) await this.tell(name, known);
  }

  async #change(name: string, known: KnownFile | undefined): Promise<void> {
    this.#files.set(name, known);
    await this.tell(name, known);
    await this.#save();
  }

  #members<Member extends keyof KnownFile>(member: Member): Record<string, KnownFile[Member]> {
    const known = [...this.#files.all].filter(([, file]) => file[member] !== undefined);
    return Object.fromEntries(known.map(([name, file]) => [name, file[member]]));
  }

  /** One write after the other: they share the name of the temporary file. */
  #save(): Promise<void> {
    return this.#turns.run(async () => {
      const state = { digests: this.#members('digest'), links: this.#members('link') };
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
