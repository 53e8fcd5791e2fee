import { basename, dirname } from 'node:path';
import { type FolderOptions, folderTree } from '../folder.js';
import type { Place } from '../images/facts.js';
import { storeTree } from '../images/store-tree.js';
import type { Stamp, Tree } from '../tree.js';

/** A store, as far as serving its files goes. */
export interface ServedStore {
  /** Real path. */
  readonly folder: string;
  digestOf(name: string, stamp: Stamp): string | undefined;
  /** Whether a link of the store, made by the service, leads to the file. */
  leadsTo(path: string): boolean;
  /** Brings the list of all digests up to date. */
  checksums(): Promise<void>;
}

/**
 * The trees under the images: the root folder, and the stores over it.
 * @param rootFolder absolute path
 * @param inventoryFile absolute path of what is never served
 */
export function createTrees(rootFolder: string, inventoryFile: string, stores: Readonly<Record<Place, ServedStore>>) {
  const all = Object.values(stores);
  const options: FolderOptions = {
    allowedOutside: (real) => all.some((store) => store.leadsTo(real)),
    // Also its temporary file, and broken ones that were kept aside.
    hidden: (real) => real === inventoryFile || real.startsWith(`${inventoryFile}.`),
    digest: (real, stats) => all.find(({ folder }) => folder === dirname(real))?.digestOf(basename(real), stats),
  };
  const treeOf = (place: Place) => storeTree(stores[place], options);
  const trees = { iso: treeOf('iso'), common: treeOf('common') };
  const byPlace = new Map<string, Tree>(Object.entries(trees));
  return { root: folderTree(rootFolder, options), stores: byPlace, common: trees.common };
}
