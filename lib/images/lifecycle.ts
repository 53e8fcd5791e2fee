import { codeOf, type ErrorCode, messageOf, publicError, ServiceError } from '../errors.js';
import type { Log } from '../log.js';
import type { Mount } from '../mount/mount.js';
import type { ImageSettings } from './image-settings.js';
import type { Changes } from './changes.js';
import { digestIn } from './checksum-list.js';
import { checkDigests, mergeDemands } from './digests.js';
import { type DownloadPolicy, download, downloadText } from './download.js';
import { checkDownloadUrl, fileNameOf } from './download-url.js';
import type { Tell } from './facts.js';
import { type Digests, type Hashing, algorithms } from './hashing.js';
import type { Image } from './image.js';
import type { IncomingFile } from './incoming-file.js';
import type { Inventory } from './inventory.js';
import { type MountingOptions, mountImage } from './mounting.js';
import type { ImageRecord } from './record.js';
import type { Slots } from '../slots.js';
import { isLocal, isoPathOf, storedNameOf } from './sources.js';
import { identify } from '../systems/identify.js';
import type { Signature } from '../systems/signature.js';

export interface LifecycleOptions extends MountingOptions {
  readonly inventory: Inventory;
  readonly hashing: Hashing;
  /** How systems are recognized. */
  readonly signatures?: readonly Signature[];
  readonly log: Log;
  readonly downloads: DownloadPolicy;
  /** Those of the downloads. */
  readonly downloadSlots: Slots;
  /** Is told why a download has failed for good. */
  readonly downloadFailed?: (reason: ErrorCode) => void;
  /** Is told what becomes of the images, where other processes serve them too. */
  readonly tell?: Tell;
  /** Is told what clients see of the images. */
  readonly changes?: Changes | undefined;
}

/** Bytes: no list of digests is longer. */
const checksumListBytes = 1024 * 1024;

/** A record without what belongs to one mount. */
function withoutMount(record: ImageRecord): ImageRecord {
  const { driver, view, why, unmount, os, boot, ...rest } = record;
  return rest;
}

/** What a record says of its mount. */
function shownOf({ driver, why, view, bytes, sha256 }: Mount): Partial<ImageRecord> {
  return { driver, view, bytes, ...(why !== undefined && { why }), ...(sha256 !== undefined && { sha256 }) };
}

/** What happens to an image from `downloading iso` over `preparing` to `OK` or `failed`. */
export class Lifecycle {
  /** @param stored told the name of an ISO that has arrived, for the other images that are made from it */
  constructor(
    private readonly options: LifecycleOptions,
    private readonly stored: (isoName: string) => Promise<void>,
  ) {}

  /**
   * Takes an image to `OK` or `failed`. Never rejects.
   * @param arriving the claim on the store's name, where the ISO has to be downloaded first
   */
  async bringUp(image: Image, arriving?: IncomingFile): Promise<void> {
    image.arriving = arriving;
    try {
      if (arriving) await this.options.downloadSlots.run(() => this.#download(image, arriving), image.gone);
      else await this.#verify(image);
      await this.prepare(image);
    } catch (error) {
      // Of a deleted image nothing stays; any other download goes on at the next start.
      const end = image.leaving ? arriving?.discard() : arriving?.end();
      await end?.catch((left: unknown) => this.options.log.error(messageOf(left)));
      if (image.gone.aborted) return;
      if (image.record.status === 'downloading iso') this.options.downloadFailed?.(codeOf(error));
      await this.fail(image, error);
    }
  }

  /** Makes the files of an image's ISO served. @throws ServiceError the errors of the mount driver */
  prepare(image: Image): Promise<void> {
    return image.turns.run(() => this.#mount(image));
  }

  /** Shows the new bytes of an ISO that was replaced, or leaves the image as it was and says why. */
  renew(image: Image): Promise<void> {
    return image.turns.run(() => this.#renew(image));
  }

  /**
   * Takes over what the operator says of an image, and looks anew what is on it.
   * @throws ServiceError NOT_FOUND, NO_SPACE, INTERNAL: then nothing has changed
   */
  edit(image: Image, settings: ImageSettings): Promise<void> {
    return image.turns.run(() => this.#edit(image, settings));
  }

  /** Ends an image with the service: also a mount that is being made in this moment, and one that it had before. */
  async end(image: Image): Promise<void> {
    const left = await image.end();
    // Whoever makes a mount now takes it away again, as the image is gone.
    await image.turns.run(() => Promise.resolve());
    await image.former;
    if (left !== undefined) this.options.log.warning(`image ${image.title}: ${left}`);
  }

  /**
   * Has all other processes know how an image is to be served.
   * @returns why one of them cannot serve it, in words
   */
  async tell(image: Image): Promise<string | undefined> {
    return this.options.tell?.({ kind: 'image', key: image.record.id, value: image.fact });
  }

  async #renew(image: Image): Promise<void> {
    const isFailed = image.record.status === 'failed';
    // Of a failed image all processes know that nobody serves it.
    if (isFailed) image.update({ ...image.record, status: 'preparing' });
    try {
      await this.#verify(image);
      await this.#mount(image);
    } catch (error) {
      const reason = `The ISO was replaced by a file that cannot be served: ${this.#explain(error)}`;
      await this.#save(image, { ...image.record, ...(isFailed && { status: 'failed' }), error: reason });
    }
  }

  async fail(image: Image, error: unknown): Promise<void> {
    const reason = this.#explain(error);
    this.options.log.error(`image ${image.title}: failed, and tried again at the next start: ${reason}`);
    await this.#save(image, { ...withoutMount(image.record), status: 'failed', error: reason });
  }

  async #download(image: Image, arriving: IncomingFile): Promise<void> {
    const { log, downloads } = this.options;
    const name = storedNameOf(image.record);
    const url = checkDownloadUrl(image.record.source?.value ?? '');
    log.info(`image ${image.title}: downloading ${name}`);
    arriving.demand(await this.#demands(image));
    await download(url, arriving, { ...downloads, signal: image.gone });
    await arriving.finish();
    await arriving.end();
    await this.stored(name);
    const { bytes, sha256 } = arriving;
    await this.#save(image, { ...image.record, status: 'preparing', bytes, sha256 });
  }

  /** Compares an ISO that is there already with what the client wants it to be. */
  async #verify(image: Image): Promise<void> {
    const { hashing, store } = this.options;
    const { record, gone } = image;
    if (record.source?.kind === 'bundle') return;
    const demands = await this.#demands(image);
    const stored = isLocal(record) ? undefined : await store.find(record.iso);
    const known: Digests = stored?.sha256 === undefined ? {} : { sha256: stored.sha256 };
    const wanted = algorithms.filter((algorithm) => demands[algorithm] !== undefined && known[algorithm] === undefined);
    const computed = wanted.length > 0 ? await hashing.file(isoPathOf(record, store), wanted, gone) : {};
    checkDigests(demands, { ...known, ...computed });
  }

  async #demands({ record, gone }: Image): Promise<Digests> {
    const { digests = {}, sums, value = '' } = record.source ?? {};
    if (sums === undefined) return digests;
    const list = await downloadText(checkDownloadUrl(sums), checksumListBytes, {
      ...this.options.downloads,
      signal: gone,
    });
    return mergeDemands(digests, digestIn(list, fileNameOf(checkDownloadUrl(value)) ?? ''));
  }

  async #mount(image: Image): Promise<void> {
    const { log } = this.options;
    const mount = await mountImage(image.record, this.options);
    if (image.gone.aborted) {
      await mount.unmount();
      return;
    }
    const found = await this.#identify(image.record, mount);
    image.former = this.#letGo(image, image.serve(mount), image.former);
    // Before it is served anywhere: with its files every process knows what it boots.
    image.record = { ...withoutMount(image.record), ...found };
    const reason = await this.tell(image);
    if (reason !== undefined) throw new ServiceError('FORBIDDEN', reason);
    const { error, bytes, sha256, ...record } = image.record;
    await this.#save(image, { ...record, status: 'OK', ...shownOf(mount) });
    const before = error === undefined ? '' : `, before: ${error}`;
    const why = mount.why === undefined ? '' : `, as ${mount.why}`;
    log.info(`image ${image.title}: OK (${mount.driver}, ${mount.view}, ${mount.bytes} bytes${why}${before})`);
  }

  /** What is on an image. It is served in any case: files of an ISO that nobody knows are fetched like any others. */
  async #identify(record: ImageRecord, { tree, label, isBootable }: Mount): Promise<Partial<ImageRecord>> {
    const { signatures = [], log } = this.options;
    const { name, version } = record;
    try {
      const { os, boot } = await identify({ tree, label, isBootable, name, version }, record, signatures);
      return { os, boot };
    } catch (error) {
      log.warning(`image ${name} ${version}: what is on it cannot be told: ${messageOf(error)}`);
      return {};
    }
  }

  async #edit(image: Image, settings: ImageSettings): Promise<void> {
    const { mount } = image;
    const found = mount && image.tree && (await this.#identify({ ...image.record, ...settings }, mount));
    if (image.leaving) throw new ServiceError('NOT_FOUND', 'The image is being deleted');
    if (Object.keys(settings).length > 0) await this.options.inventory.put({ ...image.record, ...settings, ...found });
    // A download may have ended meanwhile.
    await this.#save(image, { ...image.record, ...settings, ...found });
    if (image.tree !== undefined) await this.tell(image);
  }

  /** Says when the mount that an image had before stays for as long as somebody reads from it. */
  async #letGo(image: Image, unmounted: Promise<string | undefined>, before: Promise<void>): Promise<void> {
    const [left] = await Promise.all([unmounted, before]);
    if (left === undefined) return;
    this.options.log.warning(`image ${image.title}: ${left}`);
    // With its time: nobody tells when the last reader has gone.
    await this.#save(image, { ...image.record, unmount: `${new Date().toISOString()}: ${left}` });
  }

  #explain(error: unknown): string {
    return publicError(error, this.options.log.error).message;
  }

  /** Changes a record. The service goes on with it even if the disk refuses it, and says so. */
  async #save(image: Image, record: ImageRecord): Promise<void> {
    image.update(record);
    if (!image.pending && image.tree === undefined) await this.tell(image);
    const { inventory, log } = this.options;
    if (image.leaving || image.gone.aborted) return;
    if (JSON.stringify(inventory.get(record.id)) === JSON.stringify(record)) return;
    await inventory.put(record).catch((error: unknown) => {
      log.error(`image ${image.title}: its record could not be saved: ${messageOf(error)}`);
    });
  }
}
