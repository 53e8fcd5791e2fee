import { randomUUID } from 'node:crypto';
import { ServiceError } from '../errors.js';
import { checkIso } from '../mount/check-iso.js';
import { checkFileName } from '../path.js';
import { Image } from './image.js';
import { ImageList } from './image-list.js';
import { Lifecycle, type LifecycleOptions } from './lifecycle.js';
import type { IncomingFile } from './incoming-file.js';
import type { ImageSettings } from './image-settings.js';
import type { ImageRecord, ImageSource } from './record.js';
import type { ExpectedFile } from './receiving.js';
import { OneAtATime } from './one-at-a-time.js';
import {
  abandonDownload,
  checkImageName,
  checkLocal,
  claimDownload,
  isLocal,
  isReplaced,
  isToDownload,
  isoOf,
  nameOfNew,
  obtain,
  storedNameOf,
} from './sources.js';

export interface ImagesOptions extends LifecycleOptions {
  /** Folders to which `isolocal` is restricted; undefined: it is not. */
  readonly localFolders: readonly string[] | undefined;
  /** Names that the southbound URL space has for something else, in lower case. */
  readonly reservedNames: ReadonlySet<string>;
}

/** All images: how each comes into being, is found, and goes. */
export class Images extends ImageList {
  readonly #lifecycle: Lifecycle;
  /** One after the other, so that of two who want an alias one wins. */
  readonly #edits = new OneAtATime();

  private constructor(private readonly options: ImagesOptions) {
    super(options.store);
    this.#lifecycle = new Lifecycle(options, (isoName) => this.replaced(isoName));
  }

  /** Brings back every image of the inventory. Resolves when all that can be served at once are; downloads go on. */
  static async restore(options: ImagesOptions): Promise<Images> {
    const images = new Images(options);
    for (const record of options.inventory.all()) await images.#restore(record);
    return images;
  }

  /**
   * Takes a name and version, so that of two who want it one wins. Follow it with `#begin` or `#abandon`.
   * @throws ServiceError BAD_REQUEST (not a name for an image), EXISTS, IN_USE (an upload would replace the ISO of another)
   */
  #claim(name: string, version: string, source: ImageSource, settings: ImageSettings): Image {
    checkImageName(name, version, this.options.reservedNames);
    const iso = isoOf(source);
    for (const { record } of this.images.values()) {
      if (record.name === name && record.version === version) throw new ServiceError('EXISTS', 'Image already exists');
    }
    this.checkAlias(`${name}/${version}`);
    this.#checkAliases(settings);
    const [user] = source.kind === 'isoclient' ? this.usersOf(iso) : [];
    if (user) throw new ServiceError('IN_USE', `${user.name} ${user.version} is made from ${iso}; choose another name`);
    const createdAt = new Date().toISOString();
    const image = new Image(
      { id: randomUUID(), name, version, iso, status: 'preparing', source, createdAt, ...settings },
      this.options.changes,
    );
    this.images.set(image.record.id, image);
    return image;
  }

  /** @throws ServiceError BAD_REQUEST (a place of the service), EXISTS */
  #checkAliases({ aliases = [] }: ImageSettings, image?: Image): void {
    for (const alias of aliases) {
      const [first = ''] = alias.split('/');
      if (this.options.reservedNames.has(first.toLowerCase()))
        throw new ServiceError('BAD_REQUEST', `The alias /${alias} is in use by the service`);
      this.checkFree(alias, image);
    }
  }

  /** Gives a claimed name free again. */
  #abandon(image: Image): Promise<string | undefined> {
    this.images.delete(image.record.id);
    return image.end();
  }

  /**
   * Adds an image from a source that is not the request's body. What takes long goes on after it resolves.
   * @throws ServiceError BAD_REQUEST (not a name for an image), EXISTS; NOT_FOUND, FORBIDDEN, NOT_AN_ISO about the file; IN_USE, BUSY, NO_SPACE
   */
  async add(name: string, version: string, source: ImageSource, settings: ImageSettings = {}): Promise<Image> {
    const image = this.#claim(name, version, source, settings);
    let arriving: IncomingFile | undefined;
    try {
      const isFree = (iso: string) => this.usersOf(iso).every(({ id }) => id === image.record.id);
      image.record = { ...image.record, iso: nameOfNew(image.record, isFree) };
      arriving = await obtain(image.record, this.options);
      await this.#begin(image, arriving);
      return image;
    } catch (error) {
      await arriving?.discard();
      await this.#abandon(image);
      throw error;
    }
  }

  /**
   * Adds an image from an ISO that a client uploads.
   * @param receive has the ISO arrive; its name is the image's until this resolves
   * @throws ServiceError BAD_REQUEST (not a name for an image), EXISTS, IN_USE (another image is made from that ISO),
   * BUSY, NO_SPACE, and what `receive` throws
   */
  async upload(
    name: string,
    version: string,
    source: ImageSource,
    expected: Omit<ExpectedFile, 'check'> & { readonly settings?: ImageSettings },
    receive: (arriving: IncomingFile, begin: () => Promise<Image>) => Promise<void>,
  ): Promise<void> {
    const image = this.#claim(name, version, source, expected.settings ?? {});
    let arriving: IncomingFile | undefined;
    try {
      arriving = await this.options.store.receive(image.record.iso, { ...expected, check: checkIso });
      await receive(arriving, async () => {
        await this.replaced(image.record.iso);
        await this.#begin(image);
        return image;
      });
    } finally {
      await arriving?.end();
      if (!image.listed) await this.#abandon(image);
    }
  }

  /** Makes a claimed image exist; its ISO is in the store, or arrives by download. */
  async #begin(image: Image, arriving?: IncomingFile): Promise<void> {
    const record: ImageRecord = { ...image.record, status: arriving ? 'downloading iso' : 'preparing' };
    await this.options.inventory.put(record);
    image.update(record);
    await this.#lifecycle.tell(image);
    void this.#lifecycle.bringUp(image, arriving);
  }

  /**
   * Deletes an image; its ISO stays. Paths below it lead nowhere once it resolves.
   * @returns the record as it was, and in `unmount` what could not be taken away yet
   * @throws ServiceError NOT_FOUND
   */
  async remove(image: Image): Promise<ImageRecord> {
    if (image.leaving) throw new ServiceError('NOT_FOUND', 'The image is being deleted');
    image.leaving = true;
    await this.options.inventory.remove(image.record.id).catch((error: unknown) => {
      image.leaving = false;
      throw error;
    });
    await this.#lifecycle.tell(image);
    const left = await this.#abandon(image);
    // By then nothing of its download is left, and the same image can be added again.
    await image.arriving?.ended;
    await abandonDownload(image.record, this.options.store);
    this.options.log.info(`image ${image.title}: deleted${left === undefined ? '' : `; ${left}`}`);
    return left === undefined ? image.record : { ...image.record, unmount: left };
  }

  /** Shows the new bytes of an ISO that was replaced in the store; an image that they cannot make stays as it was. */
  async replaced(isoName: string): Promise<void> {
    for (const image of this.listed()) {
      const { iso, status } = image.record;
      const isShown = iso === isoName || iso === this.options.store.pathOf(isoName);
      if (isShown && status !== 'downloading iso') await this.#lifecycle.renew(image);
    }
  }

  /**
   * Changes what the operator says of an image.
   * @throws ServiceError NOT_FOUND, EXISTS (an alias is taken), and what the inventory throws: then nothing has changed
   */
  async edit(image: Image, settings: ImageSettings): Promise<ImageRecord> {
    if (image.leaving) throw new ServiceError('NOT_FOUND', 'The image is being deleted');
    return this.#edits.run(async () => {
      this.#checkAliases(settings, image);
      await this.#lifecycle.edit(image, settings);
      return image.record;
    });
  }

  /** Looks anew what is on the images: the signatures are others. */
  async identify(): Promise<void> {
    for (const image of this.listed()) await this.#lifecycle.edit(image, {});
  }

  /** Nobody waits for an image any longer: the service is about to stop. */
  hurry(): void {
    for (const image of this.images.values()) image.hurry();
  }

  /** Ends downloads, which go on at the next start, and lets go of every ISO. */
  async stop(): Promise<void> {
    const images = [...this.images.values()];
    const ends = images.map((image) => this.#lifecycle.end(image));
    await Promise.all([...ends, ...images.flatMap(({ arriving }) => (arriving ? [arriving.ended] : []))]);
  }

  async #restore(record: ImageRecord): Promise<void> {
    const { store } = this.options;
    const image = new Image(record, this.options.changes);
    const twin = this.get({ name: record.name, version: record.version });
    this.images.set(record.id, image);
    image.update({ ...record, status: record.status === 'downloading iso' ? record.status : 'preparing' });
    await this.#lifecycle.tell(image);
    try {
      checkImageName(record.name, record.version, this.options.reservedNames);
      if (twin) throw new ServiceError('EXISTS', 'Another image has the same name and version');
      if (record.source?.kind === 'bundle') {
        await this.#lifecycle.bringUp(image);
        return;
      }
      const isoName = checkFileName(storedNameOf(record), 'iso');
      const isStored = (await store.find(isoName)) !== undefined;
      if (isToDownload(record, isStored)) {
        const arriving = await claimDownload(record, store);
        image.update({ ...record, status: 'downloading iso' });
        void this.#lifecycle.bringUp(image, arriving);
        return;
      }
      if (isStored) await store.adopt(isoName);
      // What the service may take, and where a link leads, can have changed since.
      if (isLocal(record)) await checkLocal(record.iso, this.options.localFolders);
      if (record.status === 'OK' && !(await isReplaced(record, store))) await this.#lifecycle.prepare(image);
      else if (record.source?.digests === undefined && record.source?.sums === undefined)
        await this.#lifecycle.bringUp(image);
      // It is compared with what it should be, which can take long.
      else void this.#lifecycle.bringUp(image);
    } catch (error) {
      await this.#lifecycle.fail(image, error);
    }
  }
}
