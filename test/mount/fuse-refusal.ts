import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { messageOf } from '../../lib/errors.js';
import { requireReadable } from '../../lib/mount/fuse-refusal.js';
import type { ViewChoice } from '../../lib/mount/mount.js';
import { OpenIso } from '../../lib/mount/open-iso.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { field, folderRecord, record } from '../fixtures/iso-builder.js';
import { genisoimage, needTools } from '../fixtures/iso-tools.js';
import { rockRidge } from '../fixtures/iso-volume.js';

function named(name: string, block: number, length: number, flags = 0): Buffer {
  return record('X;1', { block, length, flags, systemUse: Buffer.concat([field.px(0o100644), field.nm(name)]) });
}

const multiExtent = 0x80;

/** An ISO with a file in a folder, which these records describe. */
function withFile(records: readonly Buffer[]): Buffer {
  const inside = [folderRecord('X', 40, 2048, { systemUse: field.nm('dir') })];
  return rockRidge(inside, (builder) => builder.folder(40, records));
}

async function store(t: Test, bytes: Buffer): Promise<string> {
  const path = join(t.testdir({}), 'a.iso');
  await writeFile(path, bytes);
  return path;
}

/** The tree that is opened, or the message of the refusal. */
async function answer(path: string, view: ViewChoice = 'auto'): Promise<string> {
  const source = { id: 'id', path, view };
  const iso = await OpenIso.open(source).catch(messageOf);
  if (typeof iso === 'string') return iso;
  const { volume } = iso.reading;
  try {
    await requireReadable(source, volume);
    return volume.view;
  } catch (error) {
    return messageOf(error);
  } finally {
    await iso.release();
  }
}

t.test('files in a single section are read', async (t) => {
  const path = await store(t, withFile([named('a', 50, 2048), named('b', 51, 2048)]));
  t.equal(await answer(path), 'rockridge');
  t.equal(await answer(path, 'rockridge'), 'rockridge');
});

t.test('a file in several sections is refused, whether they follow each other or not', async (t) => {
  for (const second of [51, 60]) {
    const path = await store(t, withFile([named('big', 50, 2048, multiExtent), named('big', second, 2048)]));
    t.equal(await answer(path), 'fuseiso cannot read files in several sections, such as "big"');
    t.equal(await descriptorsBelow(path), 0);
  }
});

t.test('only the tree that fuseiso shows by itself can be had', async (t) => {
  if (!(await needTools(t, 'genisoimage'))) return;
  const folder = t.testdir({ source: { 'A.TXT': 'a', DIR: { 'B.TXT': 'b' } } });
  const path = join(folder, 'a.iso');
  const udf = 'The disc has a UDF tree, which fuseiso does not read: ask for a view of ISO 9660, or another driver';
  const instead = (shown: string, asked: string) =>
    `fuseiso shows the ${shown} tree of this disc, and cannot show its ${asked} tree`;
  const cases: [options: string[], answers: Partial<Record<ViewChoice, string>>][] = [
    [[], { auto: 'iso9660', iso9660: 'iso9660' }],
    [['-J'], { auto: 'joliet', joliet: 'joliet', iso9660: instead('joliet', 'iso9660') }],
    [['-R'], { auto: 'rockridge', rockridge: 'rockridge', iso9660: instead('rockridge', 'iso9660') }],
    [
      ['-R', '-J'],
      { auto: 'rockridge', joliet: instead('rockridge', 'joliet'), iso9660: instead('rockridge', 'iso9660') },
    ],
    [['-R', '-udf'], { auto: udf, udf, rockridge: 'rockridge' }],
    [['-udf'], { auto: udf, iso9660: 'iso9660' }],
  ];
  for (const [options, answers] of cases) {
    await genisoimage(path, join(folder, 'source'), ...options);
    for (const view of ['auto', 'udf', 'rockridge', 'joliet', 'iso9660'] as const) {
      if (answers[view] === undefined) continue;
      t.equal(await answer(path, view), answers[view], `${options.join(' ')}: ${view}`);
    }
  }
  t.equal(await descriptorsBelow(folder), 0);
});
