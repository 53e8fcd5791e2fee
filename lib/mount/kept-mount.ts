import { lstat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, ServiceError, systemCode } from '../errors.js';
import { FolderCache } from '../iso/cache.js';
import type { Log } from '../log.js';
import type { OpenFile } from '../tree.js';
import type { Attached, Attacher } from './attacher.js';
import { Calls } from './calls.js';
import { findMount, type MountEntry } from './mountinfo.js';
import type { MountPoints } from './mount-points.js';
import { MountedFolder, type MountedFile, type MountedVolume, openMounted } from './mounted-folder.js';
import { OpenFiles } from './open-files.js';
import { type OpenIso, type Reading, requireSame } from './open-iso.js';
import type { Patience } from './patience.js';
import { ReadingCheck } from './reading-check.js';
import { rootDifference } from './same-root.js';
import { tagOf } from './tag.js';
import { type Place, unmount } from './unmount.js';
import type { Access } from './volume-tree.js';

export interface KeptOptions {
  readonly id: string;
  /** Absolute path of the .iso. */
  readonly path: string;
  readonly attacher: Attacher;
  readonly points: MountPoints;
  readonly patience: Patience;
  readonly log: Log;
}

/** What came of making a mount. */
interface Made {
  /** Undefined when somebody took it away at once. */
  readonly mounted: MountEntry | undefined;
  readonly attached: Attached;
  readonly reading: Reading;
}

/** One mount, from being made to being lost or taken away. */
interface Generation extends Made {
  readonly volume: MountedVolume;
  readonly root: MountedFolder;
  readonly files: OpenFiles;
  readonly since: number;
}

function placeOf({ volume: { point }, mounted }: Generation): Place {
  return { point, only: mounted };
}

const changed = 'the ISO was changed';

/** An error in words that may be shown: those of the system name paths. */
function wordsOf(error: unknown): string {
  return error instanceof ServiceError ? error.message : (systemCode(error) ?? 'an internal error');
}

/** The mount of one .iso, which is made again when it is lost. */
export class KeptMount {
  #current: Generation | undefined;
  #why = '';
  /** How often in a row it was lost soon after it had been made. */
  #shortLived = 0;
  #renewal: Promise<void> = Promise.resolve();
  readonly #check: ReadingCheck;
  readonly #closing = new AbortController();

  constructor(
    private readonly iso: OpenIso,
    private readonly options: KeptOptions,
  ) {
    this.#check = new ReadingCheck(options.attacher);
  }

  /**
   * Makes the mount for the first time.
   * @throws ServiceError UNAVAILABLE, UNSUPPORTED_ISO, INTERNAL: nothing is mounted then
   */
  async open(): Promise<void> {
    this.#current = await this.#make();
  }

  /** Runs work on the mount: `Using` of a `VolumeTree`. */
  use<T>(work: (access: Access<MountedFile>) => Promise<T>): Promise<T> {
    return this.iso.use(({ keep }) => {
      const generation = this.#live();
      const { tagBase } = this.iso.reading;
      const open = (file: MountedFile, path: string) =>
        this.#openFile(generation, file, tagOf(tagBase, path, file.size));
      return work({ root: generation.root, newBudget: generation.reading.volume.newBudget, open, keep });
    });
  }

  #live(): Generation {
    if (this.#closing.signal.aborted) throw new ServiceError('NOT_FOUND', 'The image is no longer there');
    const generation = this.#current;
    // The kernel goes on showing what it has read of a file that was copied over in place: a mixture of both.
    if (generation !== undefined && generation.reading.volume !== this.iso.reading.volume)
      this.#lose(generation, changed);
    if (this.#current !== undefined) return this.#current;
    throw new ServiceError('UNAVAILABLE', `The ISO of this image is not mounted now: ${this.#why}`);
  }

  async #openFile(generation: Generation, file: MountedFile, tag: string): Promise<OpenFile> {
    const release = generation.files.hold();
    const { handle, size } = await openMounted(generation.volume, file).catch((error: unknown) => {
      release();
      throw error;
    });
    let closing: Promise<void> | undefined;
    const close = () =>
      (closing ??= handle
        .close()
        .catch(() => undefined)
        .finally(release));
    return {
      descriptor: handle.fd,
      source: `mounted ${tag}`, // The next mount may have the same device and inodes.
      extents: size === 0 ? [] : [{ offset: 0, length: size }],
      size,
      modified: new Date(file.modified),
      tag,
      close,
    };
  }

  async #make(): Promise<Generation> {
    const { id, path, attacher, points } = this.options;
    const { reading } = this.iso;
    await requireSame(path, reading);
    await this.#check.ask(reading);
    const point = await points.make(id);
    let attached: Attached | undefined;
    let mounted: MountEntry | undefined;
    try {
      attached = await attacher.attach(path, point);
      mounted = await findMount(point);
      await requireSame(path, reading);
      const generation = await this.#inspect(point, { mounted, attached, reading });
      void attached.ended?.then((why) => this.#lose(generation, why));
      return generation;
    } catch (error) {
      attached?.kill?.();
      await this.#remove({ point, only: mounted }, true);
      throw error;
    }
  }

  /** Looks into a mount that was just made: it must show what our reader shows. */
  async #inspect(point: string, made: Made): Promise<Generation> {
    const { volume: expected } = made.reading;
    let inspected: Generation | undefined;
    const lose = (why: string) => inspected && this.#lose(inspected, why);
    const calls = new Calls(this.options.patience.answer, () => lose('it does not answer'));
    const { dev: device } = await calls.run(() => lstat(point, { bigint: true }));
    const volume: MountedVolume = { point, device, calls, cache: new FolderCache(), onLost: lose };
    const root = new MountedFolder(volume, undefined, '', '', expected.root.modified);
    const generation = { ...made, volume, root, files: new OpenFiles(), since: Date.now() };
    const difference = await rootDifference(expected.root, root);
    if (difference === undefined) return (inspected = generation);
    throw new ServiceError('UNSUPPORTED_ISO', `The mount does not show what the ISO holds: ${difference}`);
  }

  #lose(generation: Generation, why: string): void {
    if (this.#current !== generation) return;
    this.#current = undefined;
    this.#why = why;
    const { id, log, patience } = this.options;
    if (why === changed || Date.now() - generation.since > patience.steady) this.#shortLived = 0;
    log.warning(`image ${id}: its mount was lost (${why}) and is made again`);
    this.#renewal = this.#renew(generation);
  }

  async #renew(old: Generation): Promise<void> {
    const { id, log } = this.options;
    // A FUSE process that hangs: with its end the kernel answers every call that waits for it.
    old.attached.kill?.();
    const words = await this.#remove(placeOf(old), true);
    if (words !== undefined) log.warning(`image ${id}: the lost mount ${words}`);
    for (let failures = 0; ; failures++) {
      // Not referenced: a mount that stays away does not keep a process alive.
      const options = { signal: this.#closing.signal, ref: false };
      await delay(this.#pauseAfter(this.#shortLived + failures), undefined, options).catch(() => undefined);
      if (this.#closing.signal.aborted) return;
      const failure = await this.#tryAgain(old);
      if (failure === undefined) break;
      this.#report(failures + 1, failure);
    }
    this.#shortLived++;
    log.info(`image ${id}: mounted again`);
  }

  #pauseAfter(failures: number): number {
    const { pause, longestPause } = this.options.patience;
    return failures === 0 ? 0 : Math.min(pause * 2 ** (failures - 1), longestPause);
  }

  /** @returns why it did not work */
  async #tryAgain(old: Generation): Promise<string | undefined> {
    try {
      if (old.reading.volume !== this.iso.reading.volume) await this.#requireDrained(old);
      this.#current = await this.#make();
      return undefined;
    } catch (error) {
      this.#why = wordsOf(error);
      return error instanceof ServiceError ? this.#why : messageOf(error);
    }
  }

  #report(failures: number, why: string): void {
    const { id, log, patience } = this.options;
    const line = `image ${id}: it was not mounted again in try ${failures}: ${why}`;
    if (failures < patience.tries) log.warning(line);
    else if (failures > patience.tries) log.debug(line);
    else log.error(`${line}; it is tried on, every ${patience.longestPause / 1000} seconds at the most`);
  }

  /** As long as a file of the old mount is open, mount(8) would take its loop device, with what it has read, again. */
  async #requireDrained({ files }: Generation): Promise<void> {
    await files.drained(this.options.patience.drain);
    if (files.count === 0) return;
    throw new ServiceError('UNAVAILABLE', 'The ISO was changed, and files of the old one are still open');
  }

  /** @returns what could not be done cleanly */
  async #remove(place: Place, isDead: boolean): Promise<string | undefined> {
    const result = await unmount(place, this.options.patience, isDead);
    await this.options.points.remove(place.point);
    if (result.type === 'failed') return `could not be unmounted: ${result.words}`;
    return result.type === 'lazy' && !isDead ? `goes when its last user lets go: ${result.words}` : undefined;
  }

  /**
   * Takes the mount away, after its open files have been closed or some time has passed. Never rejects.
   * @returns what could not be done cleanly, in words for an operator
   */
  async close(): Promise<string | undefined> {
    this.#closing.abort();
    await this.#renewal;
    const generation = this.#current;
    this.#current = undefined;
    if (generation === undefined) return undefined;
    await generation.files.drained(this.options.patience.drain);
    const { count } = generation.files;
    const words = await this.#remove(placeOf(generation), false);
    // With files open its process goes on until they are closed: so do their downloads.
    if (words === undefined || count === 0) generation.attached.kill?.();
    return words === undefined ? undefined : `The mount ${words} (${count} open files)`;
  }
}
