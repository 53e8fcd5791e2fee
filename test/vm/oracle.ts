import { basename } from 'node:path';
import t, { type Test } from 'tap';
import { directDriver } from '../../lib/mount/direct.js';
import type { ViewChoice } from '../../lib/mount/mount.js';
import { discFile } from '../fixtures/corpus.js';
import { needFile, realIsos } from '../fixtures/iso-tools.js';
import { type Facts, factsOf } from '../fixtures/iso-tree.js';
import { factsByKernel } from '../fixtures/kernel-mount.js';
import { discsOf, requireVm } from '../fixtures/vm.js';

const { part, folder } = requireVm();

/** The views that are compared beside `auto`: every one that shows something else, with every kind of names. */
const views: Readonly<Record<string, readonly ViewChoice[]>> = {
  'Rock Ridge by genisoimage': ['rockridge', 'iso9660'],
  'Rock Ridge and Joliet by genisoimage': ['joliet', 'iso9660'],
  'Rock Ridge and Joliet by xorriso': ['joliet', 'iso9660'],
  'TRANS.TBL and untranslated names, as on discs of Red Hat': ['joliet', 'iso9660'],
  'names in Joliet': ['iso9660'],
  'folders that genisoimage relocates': ['iso9660'],
  'files that mkzftree compressed': ['iso9660'],
  'two sessions': ['joliet', 'iso9660'],
  'a bridge with UDF': ['udf', 'rockridge', 'joliet', 'iso9660'],
  'compressed files on a bridge with UDF': ['udf', 'rockridge', 'iso9660'],
  'a file of more than 4 GiB whose size only UDF knows': ['udf', 'rockridge'],
};

type Expected = (facts: (view: ViewChoice) => Promise<Facts>) => Promise<Facts>;

/** Links, and names as they were before genisoimage changed them, are in Rock Ridge only; mount(8) shows UDF. */
const names: Expected = (facts) => facts('rockridge');

/** What is served by default must be what mount(8) shows, but here. */
const differences: Readonly<Record<string, Expected>> = {
  'a bridge with UDF': names,
  // Linux decompresses zisofs only where Rock Ridge says that it is there.
  'compressed files on a bridge with UDF': names,
  'a file of more than 4 GiB whose size only UDF knows': async (facts) => {
    const { 'big.bin': big = '' } = await facts('udf');
    return { ...(await facts('rockridge')), 'big.bin': big };
  },
};

async function factsByUs(iso: string, view: ViewChoice): Promise<Facts> {
  const mount = await directDriver.mount({ id: 'x', path: iso, view });
  try {
    return await factsOf(mount.tree);
  } finally {
    await mount.unmount();
  }
}

async function compare(t: Test, iso: string, view: ViewChoice, expected: Expected = (facts) => facts(view)) {
  if (!(await needFile(t, iso))) return;
  const kernel = await expected((one) => factsByKernel(iso, one));
  t.ok(Object.keys(kernel).length > 0, 'there is something to compare');
  t.same(await factsByUs(iso, view), kernel);
}

for (const iso of realIsos) {
  t.test(`the reader and the kernel agree: ${basename(iso)}`, (t) => compare(t, iso, 'auto'));
}

for (const name of discsOf(part)) {
  const iso = discFile(folder, name);
  t.test(`the reader and the kernel agree: ${name}`, (t) => compare(t, iso, 'auto', differences[name]));
  for (const view of part === 'all' ? (views[name] ?? []) : []) {
    t.test(`the reader and the kernel agree: ${name}, view ${view}`, (t) => compare(t, iso, view));
  }
}
