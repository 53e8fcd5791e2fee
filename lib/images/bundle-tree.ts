import { ServiceError } from '../errors.js';
import type { Mount } from '../mount/mount.js';
import type { Entry, FolderNode, Match, Node, Tree } from '../tree.js';
import { type BundleFiles, readBundle } from './bundle.js';

const folded = (text: string, match: Match) => (match === 'exact' ? text : text.toLowerCase());

/** The tree of a bundle: files of a store, each at its path. Finds nothing any more once it is closed. */
class BundleTree implements Tree {
  isClosed = false;

  constructor(
    private readonly files: BundleFiles,
    /** The store, as a tree of its files. */
    private readonly store: Tree,
  ) {}

  async lookup(path: readonly string[], match: Match): Promise<Node | undefined> {
    if (this.isClosed) return undefined;
    const exact = this.files.get(path.join('/'));
    const wanted = folded(path.join('/'), match);
    const name = exact ?? [...this.files].find(([place]) => folded(place, match) === wanted)?.[1];
    if (name !== undefined) return this.store.lookup([name], 'exact');
    const prefix = path.length === 0 ? '' : `${wanted}/`;
    const below = [...this.files].filter(([place]) => folded(place, match).startsWith(prefix));
    return path.length > 0 && below.length === 0 ? undefined : this.#folder(below, path.length);
  }

  #folder(below: readonly (readonly [place: string, name: string])[], depth: number): FolderNode {
    return {
      type: 'folder',
      modified: undefined,
      list: async () => {
        const entries = new Map<string, Entry>();
        for (const [place, stored] of below) {
          const [name = '', ...deeper] = place.split('/').slice(depth);
          if (deeper.length > 0) entries.set(name, { name, type: 'folder', size: 0, modified: undefined });
          else entries.set(name, await this.#entry(name, stored));
        }
        return [...entries.values()];
      },
    };
  }

  /** A file that the store lacks by now is a link that leads nowhere. */
  async #entry(name: string, stored: string): Promise<Entry> {
    const node = await this.store.lookup([stored], 'exact');
    if (node?.type !== 'file') return { name, type: 'link', size: 0, modified: undefined };
    const { size, modified } = node.file;
    await node.file.close();
    return { name, type: 'file', size, modified };
  }
}

/**
 * Makes files of a store an image, without a copy.
 * @param bundle what it is made of, as the client names it
 * @param store as a tree of its files; undefined: there is none
 * @throws ServiceError BAD_REQUEST; NOT_FOUND: the store lacks one of them
 */
export async function openBundle(bundle: string, store: Tree | undefined): Promise<Mount> {
  const files = readBundle(bundle);
  if (store === undefined) throw new ServiceError('NOT_FOUND', 'There is no store of which bundles are made');
  const tree = new BundleTree(files, store);
  let bytes = 0;
  for (const name of new Set(files.values())) {
    const node = await store.lookup([name], 'exact');
    if (node?.type !== 'file') throw new ServiceError('NOT_FOUND', `There is no ${name} in the microkernel store`);
    bytes += node.file.size;
    await node.file.close();
  }
  const unmount = () => {
    tree.isClosed = true;
    return Promise.resolve(undefined);
  };
  const shown = { driver: 'direct', view: 'bundle', label: '', isBootable: false, sha256: undefined } as const;
  return { ...shown, tree, bytes, unmount };
}
