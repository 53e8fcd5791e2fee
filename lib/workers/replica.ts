import { isDeepStrictEqual } from 'node:util';
import { messageOf, ServiceError } from '../errors.js';
import { Aliases, type Aliased } from '../images/aliases.js';
import { openBundle } from '../images/bundle-tree.js';
import type { ImageFact } from '../images/facts.js';
import { Image } from '../images/image.js';
import type { ImageRecord } from '../images/record.js';
import type { Log } from '../log.js';
import type { Mount } from '../mount/mount.js';
import { mountShared } from '../mount/shared-iso.js';
import type { ServedImages } from '../southbound/url-space.js';
import type { Match, Stamp, Tree } from '../tree.js';

function placeOf(name: string, version: string, match: Match): string {
  // No name has a slash.
  const place = `${name}/${version}`;
  return match === 'exact' ? place : place.toLowerCase();
}

/** Milliseconds to mount an ISO: it is read from a disk. Less than the main process waits for an answer. */
const mountTimeout = 10_000;

async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const refuse = () => reject(new ServiceError('UNAVAILABLE', 'The ISO could not be read in time'));
    timer = setTimeout(refuse, mountTimeout);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The images of the main process, as it tells of them. */
export class ImageReplica implements ServedImages {
  readonly #images = new Map<string, Image>();
  readonly #places: Record<Match, Map<string, Image>> = { exact: new Map(), 'any-case': new Map() };
  #aliases = new Aliases<Image>([]);

  /** @param digest tells the SHA-256 of the .iso at a path, as that of `MountSource` does */
  constructor(
    private readonly log: Log,
    /** The files of which bundles are made. */
    private readonly bundleStore: Tree,
    private readonly digest: (path: string, opened: Stamp) => string | undefined,
  ) {}

  at(name: string, version: string, match: Match): Image | undefined {
    return this.#places[match].get(placeOf(name, version, match));
  }

  aliased(path: readonly string[], match: Match): Aliased<Image> | undefined {
    return this.#aliases.find(path, match);
  }

  served(): ImageRecord[] {
    return [...this.#images.values()].filter(({ tree }) => tree !== undefined).map(({ record }) => record);
  }

  /**
   * Takes over what the main process knows of an image.
   * @param fact undefined when it is not to be served any more
   * @throws ServiceError as `mountShared` does, UNAVAILABLE when that takes too long: the image is answered with 503 then
   */
  async set(id: string, fact: ImageFact | undefined): Promise<void> {
    if (fact === undefined) {
      await this.#remove(id);
      return;
    }
    const image = this.#images.get(id) ?? this.#add(fact);
    if (!isDeepStrictEqual(image.record.aliases, fact.aliases)) {
      image.record = { ...image.record, aliases: fact.aliases };
      this.#index();
    }
    const { iso, bundle } = fact;
    if (iso === undefined && bundle === undefined) return;
    // An ISO on a disk that does not answer must not take the others with it.
    await inTime(image.turns.run(() => this.#mount(image, fact)));
  }

  /** Nobody waits for an image any longer: the worker is about to stop. */
  hurry(): void {
    for (const image of this.#images.values()) image.hurry();
  }

  /** Lets go of every ISO. */
  async stop(): Promise<void> {
    await Promise.all([...this.#images.values()].map((image) => image.end()));
  }

  async #mount(image: Image, fact: ImageFact): Promise<void> {
    const { id, name, version, os, boot, args, createdAt, aliases, isoName = '' } = fact;
    const mount = await this.#mountOf(fact);
    if (mount === undefined) return;
    if (image.gone.aborted) {
      await mount.unmount();
      return;
    }
    // Open files of the former mount are read to their end.
    void image.serve(mount);
    const about = Object.fromEntries(
      Object.entries({ os, boot, args, createdAt, aliases }).filter(([, value]) => value !== undefined),
    );
    image.update({ id, name, version, iso: isoName, status: 'OK', ...about });
    this.log.debug(`image ${image.title}: served`);
  }

  #mountOf({ id, iso, bundle }: ImageFact): Promise<Mount | undefined> {
    if (bundle !== undefined) return openBundle(bundle, this.bundleStore);
    if (iso === undefined) return Promise.resolve(undefined);
    return mountShared(iso, { id, digest: (opened) => this.digest(iso.path, opened) });
  }

  #add({ id, name, version, aliases }: ImageFact): Image {
    const image = new Image({ id, name, version, iso: '', status: 'preparing', aliases });
    image.update(image.record);
    this.#images.set(id, image);
    this.#index();
    return image;
  }

  async #remove(id: string): Promise<void> {
    const image = this.#images.get(id);
    if (image === undefined) return;
    this.#images.delete(id);
    this.#index();
    await image.end().catch((error: unknown) => this.log.error(messageOf(error)));
  }

  /** Of several that differ by case alone, the first one wins. */
  #index(): void {
    const all = [...this.#images.values()];
    this.#aliases = new Aliases(
      all.flatMap((image) => (image.record.aliases ?? []).map((alias) => [alias, image] as const)),
    );
    for (const match of ['exact', 'any-case'] as const) {
      const images = all.toReversed();
      this.#places[match] = new Map(
        images.map((image) => [placeOf(image.record.name, image.record.version, match), image]),
      );
    }
  }
}
