import t from 'tap';
import { type Change, Changes } from '../../lib/images/changes.js';
import { FileChanges } from '../../lib/images/file-changes.js';
import type { StoredFile } from '../../lib/images/store.js';
import { deferred } from '../fixtures/http-server.js';

const at = new Date(0);

function file(name: string, more: Partial<StoredFile> = {}): StoredFile {
  return { name, bytes: 1, modified: at, sha256: undefined, ...more };
}

function start(list: () => Promise<readonly StoredFile[]>) {
  const changes = new Changes((error) => t.error(error));
  const heard: string[] = [];
  changes.subscribe((change: Change) => {
    if (change.kind === 'file') heard.push(`${change.place} ${change.file.name}`);
    if (change.kind === 'file-removed') heard.push(`no ${change.place} ${change.name}`);
  });
  return { files: new FileChanges('iso', changes, list), heard };
}

t.test('what is there at the first look is known, and later looks tell what came, changed and went', async (t) => {
  let stored = [file('a'), file('b')];
  const { files, heard } = start(() => Promise.resolve(stored));
  await files.look();
  t.same(heard, []);
  const cases: [what: string, now: StoredFile[], told: string[]][] = [
    ['nothing', [file('a'), file('b')], []],
    ['a new file', [file('a'), file('b'), file('c')], ['iso c']],
    ['other bytes', [file('a', { bytes: 2 }), file('b'), file('c')], ['iso a']],
    ['another time', [file('a', { bytes: 2 }), file('b', { modified: new Date(1) }), file('c')], ['iso b']],
    [
      'a digest',
      [file('a', { bytes: 2 }), file('b', { modified: new Date(1) }), file('c', { sha256: '0' })],
      ['iso c'],
    ],
    ['one gone and one there', [file('a', { bytes: 2 }), file('d')], ['no iso b', 'no iso c', 'iso d']],
    ['all gone', [], ['no iso a', 'no iso d']],
  ];
  for (const [what, now, told] of cases) {
    heard.length = 0;
    stored = now;
    await files.look();
    t.same(heard, told, what);
  }
});

t.test('what changes during a look is seen by the next one, which comes by itself', async (t) => {
  const lists = [deferred<StoredFile[]>(), deferred<StoredFile[]>(), deferred<StoredFile[]>()];
  let looks = 0;
  const { files, heard } = start(() => lists[looks++]?.promise ?? Promise.resolve([]));
  const first = files.look();
  lists[0]?.resolve([]);
  await first;
  const second = files.look();
  const third = files.look();
  t.equal(looks, 2, 'one at a time');
  lists[1]?.resolve([]);
  lists[2]?.resolve([file('late')]);
  await Promise.all([second, third]);
  t.same(heard, ['iso late']);
  t.equal(looks, 3);
});

t.test('a store that cannot be listed for a while has lost nothing', async (t) => {
  let isBroken = false;
  const { files, heard } = start(() => (isBroken ? Promise.reject(new Error('EIO')) : Promise.resolve([file('a')])));
  await files.look();
  isBroken = true;
  await files.look();
  isBroken = false;
  await files.look();
  t.same(heard, []);
});
