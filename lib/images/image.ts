import { EventEmitter, once } from 'node:events';
import type { Mount } from '../mount/mount.js';
import type { Tree } from '../tree.js';
import { bootableOf } from './bootable.js';
import type { Changes } from './changes.js';
import type { ImageFact } from './facts.js';
import type { IncomingFile } from './incoming-file.js';
import type { ImageRecord } from './record.js';
import { OneAtATime } from './one-at-a-time.js';

/** Milliseconds: a timer that is set for longer fires at once. */
const longestTimer = 2 ** 31 - 1;

/** A download, as far as it has come. */
type Arriving = Readonly<Pick<IncomingFile, 'bytes' | 'length' | 'rate' | 'ended'>>;

/** An image in the running service: its record, its mount, and whoever waits for it. */
export class Image {
  readonly #changes = new EventEmitter();
  readonly #abort = new AbortController();
  #mount: Mount | undefined;
  #listed = false;
  #isHurried = false;
  /** Mounts, of which the one that was begun later has the newer bytes. */
  readonly turns = new OneAtATime();
  /** Resolves when the mounts that it had before have gone, or are left to the kernel. */
  former: Promise<void> = Promise.resolve();
  /** It is being deleted: its record must not be written any more. */
  leaving = false;
  /** Its download: bytes of how many, and bytes a second. */
  arriving: Arriving | undefined;

  /** @param feed told what clients see of it */
  constructor(
    public record: ImageRecord,
    private readonly feed?: Changes,
  ) {
    // A thousand machines wait for one image.
    this.#changes.setMaxListeners(0);
  }

  /** What people call it. */
  get title(): string {
    return `${this.record.name} ${this.record.version}`;
  }

  /** Whether the image exists for clients; before, it only keeps its name from being taken. */
  get listed(): boolean {
    return this.#listed;
  }

  /** Aborted when the image is deleted or the service stops: ends its download. */
  get gone(): AbortSignal {
    return this.#abort.signal;
  }

  /** The record, with how far its download is. */
  get described(): ImageRecord {
    if (this.record.status !== 'downloading iso' || this.arriving === undefined) return this.record;
    const { bytes, length, rate } = this.arriving;
    return { ...this.record, progress: { bytes, ...(length !== undefined && { total: length }), rate } };
  }

  /** What makes its files readable, once there is one. */
  get mount(): Mount | undefined {
    return this.#mount;
  }

  /** The files of the image, while it can be served. */
  get tree(): Tree | undefined {
    return this.record.status === 'OK' ? this.#mount?.tree : undefined;
  }

  /** What other processes have to know to serve it; undefined when it is not to be served. */
  get fact(): ImageFact | undefined {
    const { id, status, aliases, source } = this.record;
    const bundle = source?.kind === 'bundle' && this.#mount !== undefined ? source.value : undefined;
    const isServed = this.#listed && !this.leaving && status !== 'failed';
    const { iso: isoName, ...about } = bootableOf(this.record);
    return isServed ? { id, ...about, aliases, bundle, isoName, iso: this.#mount?.shared } : undefined;
  }

  /** Whether it will be `OK` or `failed` by itself. */
  get pending(): boolean {
    return this.record.status === 'downloading iso' || this.record.status === 'preparing';
  }

  /** Takes over a new record, and tells everybody who waits. */
  update(record: ImageRecord): void {
    this.record = record;
    this.#listed = true;
    this.#changes.emit('change');
    if (!this.leaving) this.feed?.publish({ kind: 'image', record: this.described });
  }

  /**
   * Serves another mount from now on. Whoever reads from the former one finishes with its bytes.
   * @returns what of the former one could not be taken away yet, in words
   */
  serve(mount: Mount): Promise<string | undefined> {
    const former = this.#mount;
    this.#mount = mount;
    return former?.unmount() ?? Promise.resolve(undefined);
  }

  /** Ends all waiting for the image, whose outcome is for another day. */
  hurry(): void {
    this.#isHurried = true;
    this.#changes.emit('change');
  }

  /**
   * Ends everything that goes on for the image.
   * @returns what could not be taken away yet, in words
   */
  async end(): Promise<string | undefined> {
    if (this.leaving && this.#listed) this.feed?.publish({ kind: 'image-removed', record: this.record });
    this.#listed = false;
    this.#abort.abort();
    this.#changes.emit('change');
    return this.#mount?.unmount();
  }

  /**
   * Waits until the image is neither downloading nor preparing, or gone.
   * @param milliseconds at most
   * @param signal ends the waiting early, as when the client has left
   */
  async settled(milliseconds: number, signal: AbortSignal): Promise<void> {
    // Not AbortSignal.timeout(): within AbortSignal.any() nothing holds it, and once collected it never fires.
    const enough = new AbortController();
    const stop = () => enough.abort();
    const timer = setTimeout(stop, Math.min(milliseconds, longestTimer));
    signal.addEventListener('abort', stop);
    try {
      if (signal.aborted) return;
      while (this.pending && !this.gone.aborted && !this.#isHurried)
        await once(this.#changes, 'change', { signal: enough.signal });
    } catch {
      // Time is up, or nobody is interested any more; the caller looks at the record.
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }
}
