import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError, ifThere } from '../errors.js';
import { privateFolder } from '../folder.js';
import type { Log } from '../log.js';
import { stateOf } from '../tree.js';
import { checksumList } from './checksum-list.js';
import { DigestQueue } from './digest-queue.js';
import { replaceFile } from './durable.js';
import type { Hashing } from './hashing.js';
import type { StoreState } from './store-state.js';
import { OneAtATime } from './one-at-a-time.js';

/** The name under which a store shows the digests of its files. */
export const checksumsName = 'SHA256SUMS';

/** Served by processes of another user. */
const listMode = 0o644;

/** Milliseconds without a change after which a file that came by another way counts as complete. */
const settledAfter = 5000;

/** @throws ServiceError BAD_REQUEST for a name that the service uses itself */
export function checkOwnName(name: string): void {
  if (name !== checksumsName) return;
  throw new ServiceError('BAD_REQUEST', `${checksumsName} is made by the service; choose another name`);
}

/** The digests of files that came into a store by another way than through the service, and the list of all digests. */
export class BackgroundDigests {
  readonly #queue: DigestQueue;
  readonly #turns = new OneAtATime();

  constructor(
    private readonly folder: string,
    private readonly state: StoreState,
    private readonly options: { readonly hashing: Hashing; readonly log: Log },
  ) {
    this.#queue = new DigestQueue((name, signal) => this.#hash(name, signal), options.log);
  }

  /** Has the digest of a file computed, some time. */
  add(name: string): void {
    this.#queue.add(name);
  }

  stop(): void {
    this.#queue.stop();
  }

  /** Brings the list up to date, among the service's own files. */
  writeList(
    list: () => Promise<readonly { readonly name: string; readonly sha256: string | undefined }[]>,
  ): Promise<void> {
    const path = join(this.folder, privateFolder, checksumsName);
    return this.#turns.run(async () => {
      // One that came with the files from elsewhere is not what is served under its name.
      const files = (await list()).filter(({ name }) => name !== checksumsName);
      const text = checksumList(files);
      // Replaced only by another one: it is served under a tag that goes by its time.
      if ((await ifThere(readFile(path, 'utf8'))) !== text) await replaceFile(path, text, listMode);
    });
  }

  async #hash(name: string, signal: AbortSignal): Promise<void> {
    const path = join(this.folder, name);
    const stamp = () => ifThere(lstat(path, { bigint: true }));
    const before = await stamp();
    if (!before?.isFile() || Date.now() - Number(before.mtimeMs) < settledAfter) return;
    const { sha256 } = await this.options.hashing.file(path, ['sha256'], signal);
    const after = await stamp();
    if (after === undefined || stateOf(after) !== stateOf(before) || sha256 === undefined) return;
    await this.state.keepDigest(name, sha256, before);
    this.options.log.info(`${name}: its SHA-256 is ${sha256}`);
  }
}
