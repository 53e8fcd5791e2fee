import { join } from 'node:path';
import { createLoopDriver } from '../../lib/mount/loop.js';
import { keepLog, mountFolder, patience } from '../fixtures/child-mounts.js';
import { conformance, type Differences } from '../fixtures/conformance.js';
import { requireVm } from '../fixtures/vm.js';

requireVm();

const differences: Differences = {
  // Linux shows the UDF tree of such discs: genisoimage has no links there, and leaves compressed files as they are.
  // That our reader shows this UDF tree as Linux does is tested in oracle.ts.
  left: [
    'a bridge with UDF',
    'compressed files on a bridge with UDF',
    // These take long under an emulated processor: there only our reader is compared with the kernel.
    'a folder of 3,000 files',
    'files that xorriso compressed in blocks of 32k',
    'files that xorriso compressed in blocks of 64k',
  ],
};

conformance(
  'loop',
  async (t) => createLoopDriver({ mountDir: join(await mountFolder(t), 'mounts'), log: keepLog().log, patience }),
  differences,
);
