import { ServiceError } from '../errors.js';
import type { Subject } from '../http/exchange.js';
import type { BootRecord } from '../images/bootable.js';
import type { Entry, Match, Node, Tree } from '../tree.js';

/** An image, as far as serving it goes. */
export interface ServedImage {
  readonly record: BootRecord;
  /** Undefined until it can be served. */
  readonly tree: Tree | undefined;
  /** Whether that will be, or it will have failed, by itself. */
  readonly pending: boolean;
  /** Aborted when it is deleted. */
  readonly gone: AbortSignal;
  /** Waits until it is no longer pending, or gone, for so many milliseconds at most; the signal ends that early. */
  settled(milliseconds: number, signal: AbortSignal): Promise<void>;
}

export interface ServedImages {
  /** The image that has this place in the URL space: one that is served, or will be. */
  at(name: string, version: string, match: Match): ServedImage | undefined;
  /** The image with an alias with which a path begins, as `at`. */
  aliased(path: readonly string[], match: Match): { readonly image: ServedImage; readonly depth: number } | undefined;
  /** Those that are served. */
  served(): readonly BootRecord[];
}

export interface UrlSpaceOptions {
  readonly images: ServedImages;
  /** The folder under everything else. */
  readonly root: Tree;
  /** Trees that lie over the root folder, by the name of their place in it, such as `iso`. */
  readonly stores: ReadonlyMap<string, Tree>;
  /** Milliseconds that a request waits for an image that is being prepared. */
  readonly wait: number;
}

/** The names of a folder that is made of several: each name once, the upper layer's first. */
function merge(...layers: readonly (readonly Entry[])[]): Entry[] {
  const entries = new Map<string, Entry>();
  for (const entry of layers.flat()) if (!entries.has(entry.name)) entries.set(entry.name, entry);
  return [...entries.values()];
}

/** A request, as far as its finding what it asks for goes. */
export interface Asking {
  /** Ends the waiting when the client has left. */
  readonly closed: AbortSignal;
  /** Set to what is found; a store is called by its place. */
  subject?: Subject;
}

const rootSubject: Subject = { route: 'root', hasFiles: true };

const folder = (name: string): Entry => ({ name, type: 'folder', size: 0, modified: undefined });

const sameName = (a: string, b: string, match: Match) =>
  match === 'exact' ? a === b : a.toLowerCase() === b.toLowerCase();

/**
 * The southbound URL space, one tree: the root folder, over it the stores, and over them `/<name>/<version>/…` of every
 * image. An exact match anywhere wins over one that differs by case.
 */
export class UrlSpace {
  readonly #imageSubjects = new WeakMap<ServedImage, Subject>();
  readonly #storeSubjects: ReadonlyMap<Tree, Subject>;

  constructor(private readonly options: UrlSpaceOptions) {
    this.#storeSubjects = new Map(
      [...options.stores].map(([place, tree]) => [tree, { route: place, hasFiles: true }] as const),
    );
  }

  /**
   * Finds what a path leads to, waiting for an image that is still on its way.
   * @throws ServiceError UNAVAILABLE when the image is not ready in time; the errors of the trees
   */
  async lookup(path: readonly string[], asking: Asking): Promise<Node | undefined> {
    const [name] = path;
    for (const match of ['exact', 'any-case'] as const) {
      const found = this.#imageOf(path, match);
      // Which image it is was decided by `match`; inside of it names may always differ by case.
      if (found !== undefined) {
        asking.subject = this.#subjectOf(found.image);
        return (await this.#ready(found.image, asking.closed))?.lookup(path.slice(found.depth), 'any-case');
      }
      const store = this.#storeAt(name, match);
      if (store !== undefined) {
        asking.subject = this.#storeSubjects.get(store) ?? rootSubject;
        return store.lookup(path.slice(1), 'any-case');
      }
      asking.subject = rootSubject;
      const node = await this.#below(path, match);
      if (node !== undefined) return node;
    }
    return undefined;
  }

  /**
   * The image of this name and version, when it can be served.
   * @throws ServiceError UNAVAILABLE when it is not ready in time
   */
  async image(name: string, version: string, asking: Asking): Promise<ServedImage | undefined> {
    const { images } = this.options;
    const image = images.at(name, version, 'exact') ?? images.at(name, version, 'any-case');
    if (image === undefined || (await this.#ready(image, asking.closed)) === undefined) return undefined;
    return image;
  }

  /** The image that a path leads into, and how many segments lead to its root. An alias may lie deeper than an image. */
  #imageOf(path: readonly string[], match: Match): { image: ServedImage; depth: number } | undefined {
    const { images } = this.options;
    const aliased = images.aliased(path, match);
    if (aliased !== undefined) return aliased;
    const [name, version] = path;
    const image = version === undefined ? undefined : images.at(name ?? '', version, match);
    return image && { image, depth: 2 };
  }

  #subjectOf(image: ServedImage): Subject {
    const known = this.#imageSubjects.get(image);
    if (known !== undefined) return known;
    const { name, version } = image.record;
    const subject: Subject = { route: 'image', item: `${name}/${version}`, hasFiles: true };
    this.#imageSubjects.set(image, subject);
    return subject;
  }

  #storeAt(name: string | undefined, match: Match): Tree | undefined {
    const { stores } = this.options;
    return [...stores].find(([place]) => name !== undefined && sameName(place, name, match))?.[1];
  }

  async #below(path: readonly string[], match: Match): Promise<Node | undefined> {
    const node = await this.options.root.lookup(path, match);
    if (node?.type === 'file' || path.length > 1) return node;
    const own = this.#ownEntries(path[0], match);
    if (path.length > 0 && own.length === 0) return node;
    return { type: 'folder', modified: node?.modified, list: async () => merge(own, (await node?.list()) ?? []) };
  }

  /** What stores and images add to the root, or to the folder of a name. */
  #ownEntries(name: string | undefined, match: Match): Entry[] {
    const records = this.options.images.served();
    if (name === undefined) return [...this.options.stores.keys(), ...records.map((record) => record.name)].map(folder);
    return records.filter((record) => sameName(record.name, name, match)).map((record) => folder(record.version));
  }

  async #ready(image: ServedImage, closed: AbortSignal): Promise<Tree | undefined> {
    await image.settled(this.options.wait, closed);
    if (image.pending && !image.gone.aborted) {
      throw new ServiceError('UNAVAILABLE', 'This image is still being prepared; ask again soon');
    }
    return image.tree;
  }
}
