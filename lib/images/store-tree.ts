import { join } from 'node:path';
import { ifThere } from '../errors.js';
import { type FolderOptions, folderTree, privateFolder } from '../folder.js';
import type { Tree } from '../tree.js';
import { checksumsName } from './background-digests.js';
import type { Store } from './store.js';

/** The files of a store as the file server shows them, and the list of their digests beside them. */
export function storeTree(store: Pick<Store, 'folder' | 'checksums'>, options: FolderOptions): Tree {
  const files = folderTree(store.folder, options);
  const own = folderTree(join(store.folder, privateFolder));
  return {
    lookup: async (path, match) => {
      const [name, ...below] = path;
      if (name === checksumsName && below.length === 0) {
        // The folder can be gone for a while, and nothing is found in it then.
        await ifThere(store.checksums());
        return own.lookup([checksumsName], 'exact');
      }
      const node = await files.lookup(path, match);
      if (name !== undefined || node?.type !== 'folder') return node;
      const list = { name: checksumsName, type: 'file', size: 0, modified: undefined } as const;
      return {
        ...node,
        list: async () => [...(await node.list()).filter((entry) => entry.name !== checksumsName), list],
      };
    },
  };
}
