import { ServiceError } from '../errors.js';
import type { Entry, Match, Node, Tree } from '../tree.js';

/** An image, as far as serving it goes. */
export interface ServedImage {
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
  /** Those that are served. */
  served(): readonly { readonly name: string; readonly version: string }[];
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

const folder = (name: string): Entry => ({ name, type: 'folder', size: 0, modified: undefined });

const sameName = (a: string, b: string, match: Match) =>
  match === 'exact' ? a === b : a.toLowerCase() === b.toLowerCase();

/**
 * The southbound URL space, one tree: the root folder, over it the stores, and over them `/<name>/<version>/…` of every
 * image. An exact match anywhere wins over one that differs by case.
 */
export class UrlSpace {
  constructor(private readonly options: UrlSpaceOptions) {}

  /**
   * Finds what a path leads to, waiting for an image that is still on its way.
   * @param closed ends the waiting when the client has left
   * @throws ServiceError UNAVAILABLE when the image is not ready in time; the errors of the trees
   */
  async lookup(path: readonly string[], closed: AbortSignal): Promise<Node | undefined> {
    const [name, version, ...rest] = path;
    for (const match of ['exact', 'any-case'] as const) {
      const image = version === undefined ? undefined : this.options.images.at(name ?? '', version, match);
      // Which image it is was decided by `match`; inside of it names may always differ by case.
      if (image !== undefined) return (await this.#ready(image, closed))?.lookup(rest, 'any-case');
      const store = this.#storeAt(name, match);
      if (store !== undefined) return store.lookup(path.slice(1), 'any-case');
      const node = await this.#below(path, match);
      if (node !== undefined) return node;
    }
    return undefined;
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
