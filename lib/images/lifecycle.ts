import { ServiceError, messageOf, publicError } from '../errors.js';
import type { Log } from '../log.js';
import type { MountDriver } from '../mount/mount.js';
import { type Download, openDownload } from './download.js';
import { checkDownloadUrl } from './download-url.js';
import type { Image } from './image.js';
import type { Inventory } from './inventory.js';
import type { IncomingFile, Source } from './incoming-file.js';
import type { ImageRecord } from './record.js';
import { isoPathOf, storedNameOf } from './sources.js';
import type { Store } from './store.js';

export interface LifecycleOptions {
  readonly inventory: Inventory;
  readonly store: Store;
  readonly driver: MountDriver;
  readonly log: Log;
  /** Milliseconds that the far end of a download may be silent. */
  readonly idleTimeout: number;
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
    try {
      if (arriving) await this.#download(image, arriving);
      await this.prepare(image);
    } catch (error) {
      await arriving?.discard().catch((left: unknown) => this.options.log.error(messageOf(left)));
      if (!image.gone.aborted) await this.fail(image, error);
    }
  }

  /** Makes the files of an image's ISO served. @throws ServiceError the errors of the mount driver */
  prepare(image: Image): Promise<void> {
    return image.turns.run(() => this.#mount(image));
  }

  /** Shows the new bytes of an ISO that was replaced, or leaves the image as it was and says why. */
  async renew(image: Image): Promise<void> {
    try {
      await this.prepare(image);
    } catch (error) {
      const reason = `The ISO was replaced by a file that cannot be served: ${this.#explain(error)}`;
      await this.#save(image, { ...image.record, error: reason });
    }
  }

  async fail(image: Image, error: unknown): Promise<void> {
    const reason = this.#explain(error);
    this.options.log.error(`image ${image.title}: failed, and tried again at the next start: ${reason}`);
    await this.#save(image, { ...image.record, status: 'failed', error: reason });
  }

  async #download(image: Image, arriving: IncomingFile): Promise<void> {
    const { idleTimeout, log, store } = this.options;
    const name = storedNameOf(image.record);
    log.info(`image ${image.title}: downloading ${name}`);
    const url = checkDownloadUrl(image.record.source?.value ?? '');
    const download = await openDownload(url, { signal: image.gone, idleTimeout });
    try {
      await store.reserve(arriving, download.length ?? 0);
      const source = sourceOf(download, arriving);
      await arriving.take(
        () => source,
        () => undefined,
      );
    } finally {
      download.body.destroy();
    }
    await this.stored(name);
    const { bytes, sha256 } = arriving;
    await this.#save(image, { ...image.record, status: 'preparing', bytes, sha256 });
  }

  async #mount(image: Image): Promise<void> {
    const { driver, store, log } = this.options;
    const name = storedNameOf(image.record);
    const path = isoPathOf(image.record, store);
    // A file from elsewhere is not what the store may have under its name by now.
    const isStored = path === store.pathOf(name);
    const mount = await driver.mount({ path, ...(isStored && { digest: (opened) => store.digestOf(name, opened) }) });
    if (image.gone.aborted) {
      void mount.unmount();
      return;
    }
    image.serve(mount);
    const { error, sha256: former, ...record } = image.record;
    const { bytes, sha256 } = mount;
    await this.#save(image, { ...record, status: 'OK', bytes, ...(sha256 !== undefined && { sha256 }) });
    const before = error === undefined ? '' : `, before: ${error}`;
    log.info(`image ${image.title}: OK (${mount.view}, ${bytes} bytes${before})`);
  }

  #explain(error: unknown): string {
    return publicError(error, this.options.log.error).message;
  }

  /** Changes a record. The service goes on with it even if the disk refuses it, and says so. */
  async #save(image: Image, record: ImageRecord): Promise<void> {
    image.update(record);
    const { inventory, log } = this.options;
    if (image.leaving || image.gone.aborted) return;
    if (JSON.stringify(inventory.get(record.id)) === JSON.stringify(record)) return;
    await inventory.put(record).catch((error: unknown) => {
      log.error(`image ${image.title}: its record could not be saved: ${messageOf(error)}`);
    });
  }
}

/** A download as the source of a file. */
function sourceOf({ body, length }: Download, arriving: IncomingFile): Source {
  // An abort while the file is being closed comes when nobody reads it any more.
  body.on('error', () => undefined);
  const complete = () => {
    if (length === undefined || arriving.bytes === length) return Promise.resolve();
    const message = `The download ended after ${arriving.bytes} of ${length} bytes`;
    return Promise.reject(new ServiceError('BAD_GATEWAY', message));
  };
  return { stream: body, complete };
}
