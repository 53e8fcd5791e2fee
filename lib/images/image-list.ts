import { ServiceError } from '../errors.js';
import type { Match } from '../tree.js';
import { Aliases, type Aliased } from './aliases.js';
import { readBundle } from './bundle.js';
import type { Image } from './image.js';
import type { ImageRecord } from './record.js';
import { isMadeFrom } from './sources.js';
import type { Store } from './store.js';

export type ImageFilter = Partial<Record<'id' | 'name' | 'version' | 'iso' | 'status', string>>;

/** Names of the files of a bundle; none where the inventory has it in another form than ours. */
function namesIn(bundle: string): string[] {
  try {
    return [...readBundle(bundle).values()];
  } catch {
    return [];
  }
}

/** Images, and how each is found. */
export class ImageList {
  /** All of them by id, also those that are still being uploaded. */
  protected readonly images = new Map<string, Image>();

  /** @param store of their ISOs */
  constructor(private readonly store: Store) {}

  /** Records of the images that match, in the order in which they came. */
  list(filter: ImageFilter): ImageRecord[] {
    return this.#matching(filter).map((image) => image.described);
  }

  /** Those whose files can be fetched. */
  served(): ImageRecord[] {
    return this.list({ status: 'OK' });
  }

  /** The image that has exactly this id, or this name and version. */
  get(filter: Pick<ImageFilter, 'id' | 'name' | 'version'>): Image | undefined {
    return this.#matching(filter)[0];
  }

  /** The image that has this place in the URL space: one that is served, or will be. */
  at(name: string, version: string, match: Match): Image | undefined {
    const fold = (text: string) => (match === 'exact' ? text : text.toLowerCase());
    const wanted = [fold(name), fold(version)];
    return this.listed().find(({ record, pending, tree }) => {
      if (!pending && tree === undefined) return false;
      return fold(record.name) === wanted[0] && fold(record.version) === wanted[1];
    });
  }

  /** The image that has an alias with which a path begins, as `at`. */
  aliased(path: readonly string[], match: Match): Aliased<Image> | undefined {
    const images = this.listed().filter(
      ({ record, pending, tree }) => record.aliases && (pending || tree !== undefined),
    );
    if (images.length === 0) return undefined;
    const entries = images.flatMap((image) => (image.record.aliases ?? []).map((alias) => [alias, image] as const));
    return new Aliases(entries).find(path, match);
  }

  /** Makes sure that no image has a place as an alias. @throws ServiceError EXISTS */
  protected checkAlias(place: string): void {
    const wanted = place.toLowerCase();
    for (const { record } of this.images.values()) {
      const isTaken = record.aliases?.some((alias) => alias.toLowerCase() === wanted) === true;
      if (isTaken) throw new ServiceError('EXISTS', `/${place} leads to ${record.name} ${record.version} already`);
    }
  }

  /**
   * Makes sure that a place in the URL space is free: no image has it by name and version, and none as an alias.
   * @param except the image that wants it
   * @throws ServiceError EXISTS
   */
  protected checkFree(place: string, except?: Image): void {
    const wanted = place.toLowerCase();
    for (const image of this.images.values()) {
      const { name, version, aliases = [] } = image.record;
      const isTaken = [`${name}/${version}`, ...aliases].some((one) => one.toLowerCase() === wanted);
      if (isTaken && image !== except)
        throw new ServiceError('EXISTS', `/${place} leads to ${name} ${version} already`);
    }
  }

  /** Records of all images, also of those that are still being uploaded. */
  all(): ImageRecord[] {
    return [...this.images.values()].map(({ record }) => record);
  }

  /** Those of them that need a file of the store. */
  usersOf(isoName: string): ImageRecord[] {
    return this.all().filter((record) => isMadeFrom(record, isoName, this.store));
  }

  /** Bundles that have a file of the microkernel store in them. */
  bundlesWith(fileName: string): ImageRecord[] {
    return this.all().filter(({ source }) => {
      return source?.kind === 'bundle' && namesIn(source.value).includes(fileName);
    });
  }

  /** Those that exist for clients. */
  protected listed(): Image[] {
    return [...this.images.values()].filter((image) => image.listed && !image.leaving);
  }

  #matching(filter: ImageFilter): Image[] {
    const wanted = Object.entries(filter);
    return this.listed().filter(({ record }) => wanted.every(([member, value]) => record[member] === value));
  }
}
