import type { IsoFile } from '../iso/entries.js';
import type { MountDriver } from './mount.js';
import { OpenIso } from './open-iso.js';
import { VolumeTree } from './volume-tree.js';

/** Reads the ISO in this process: no root, no loop device, no kernel module, no second copy. */
export const directDriver: MountDriver = {
  name: 'direct',
  async mount(source) {
    const iso = await OpenIso.open(source);
    const tree = new VolumeTree<IsoFile>((work) => iso.use(work));
    const { volume, sha256, stats } = iso.reading;
    const { view, label } = volume;
    const unmount = async () => {
      tree.close();
      await iso.release();
      return undefined;
    };
    return { driver: 'direct', tree, view, label, bytes: Number(stats.size), sha256, unmount };
  },
};
