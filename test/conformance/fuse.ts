import { join } from 'node:path';
import { createFuseDriver } from '../../lib/mount/fuse.js';
import { keepLog, mountFolder, needFuseiso, patience } from '../fixtures/child-mounts.js';
import { conformance, type Differences } from '../fixtures/conformance.js';
import type { Facts } from '../fixtures/iso-tree.js';

/** fuseiso shows relocated folders twice: the second time where the disc has them. */
function withoutMoved(facts: Facts): Facts {
  return Object.fromEntries(Object.entries(facts).filter(([path]) => !path.startsWith('rr_moved/')));
}

/** fuseiso puts a slash where the name of a link's target goes on in another field. */
function withoutSlash(facts: Facts): Facts {
  const joined = (fact: string) => fact.replace(/(?<=([lw]))\/(?=\1)/g, '');
  return Object.fromEntries(Object.entries(facts).map(([path, fact]) => [path, joined(fact)]));
}

const differences: Differences = {
  refused: [
    'a bridge with UDF',
    'compressed files on a bridge with UDF',
    'a file of more than 4 GiB',
    'a file of more than 4 GiB of which ISO 9660 has only the size modulo 4 GiB',
    // The disc hides the folder that they were moved to, and fuseiso shows it: another root than ours.
    'folders that xorriso relocates',
  ],
  left: ['a relocated folder leaves its empty place behind, as in Linux'],
  shown: {
    'folders that genisoimage relocates': withoutMoved,
    'Rock Ridge by genisoimage': withoutSlash,
    'Rock Ridge by xorriso': withoutSlash,
    'Rock Ridge and Joliet by genisoimage': withoutSlash,
    'Rock Ridge and Joliet by xorriso': withoutSlash,
  },
};

conformance(
  'fuse',
  async (t) => {
    if (!(await needFuseiso(t))) return undefined;
    return createFuseDriver({ mountDir: join(await mountFolder(t), 'mounts'), log: keepLog().log, patience });
  },
  differences,
);
