import type { BigIntStats } from 'node:fs';
import type { IsoFile } from '../iso/entries.js';
import type { Mount, MountDriver, MountSource } from './mount.js';
import { OpenIso } from './open-iso.js';
import { VolumeTree } from './volume-tree.js';

/**
 * Reads the ISO in this process: no root, no loop device, no kernel module, no second copy.
 * @throws ServiceError as `MountDriver.mount` does
 */
export async function mountDirect(source: MountSource): Promise<{ mount: Mount; stats: BigIntStats }> {
  const iso = await OpenIso.open(source);
  const tree = new VolumeTree<IsoFile>((work) => iso.use(work));
  const { volume, sha256, stats } = iso.reading;
  const { view, label, isBootable } = volume;
  const unmount = async () => {
    tree.close();
    await iso.release();
    return undefined;
  };
  const shared = {
    path: source.path,
    descriptorPath: `/proc/${process.pid}/fd/${iso.descriptor}`,
    device: stats.dev,
    inode: stats.ino,
    view: source.view ?? 'auto',
    maxEntries: source.maxEntries,
  };
  const shown = { view, label, isBootable, bytes: Number(stats.size), sha256 };
  return { mount: { driver: 'direct', tree, ...shown, shared, unmount }, stats };
}

export const directDriver: MountDriver = {
  name: 'direct',
  mount: async (source) => (await mountDirect(source)).mount,
};
