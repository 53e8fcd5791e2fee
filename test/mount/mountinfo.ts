import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { findMount, parseMountinfo, readMounts } from '../../lib/mount/mountinfo.js';
import { call, mountFolder, mountStranger, needRoot } from '../fixtures/child-mounts.js';

t.test('a line of mountinfo', (t) => {
  const rest = { id: '1', options: ['rw'] };
  const cases: [line: string, entry: object | undefined][] = [
    [
      '49 27 7:0 / /mnt/a ro,nosuid,relatime - iso9660 /dev/loop0 ro,nojoliet',
      { id: '49', point: '/mnt/a', type: 'iso9660', source: '/dev/loop0', options: ['ro', 'nojoliet'] },
    ],
    [
      '49 27 0:46 / /mnt/a ro shared:1 master:2 - fuse.fuseiso fuseiso ro,user_id=0',
      { id: '49', point: '/mnt/a', type: 'fuse.fuseiso', source: 'fuseiso', options: ['ro', 'user_id=0'] },
    ],
    [
      '1 2 0:3 /x\\040y /a\\040b\\011c\\012d\\134e rw - tmpfs with\\040blank\\043sign rw',
      { point: '/a b\tc\nd\\e', type: 'tmpfs', source: 'with blank#sign', ...rest },
    ],
    ['1 2 0:3 / /a\\134040b rw - tmpfs x rw', { point: '/a\\040b', type: 'tmpfs', source: 'x', ...rest }],
    ['1 2 0:3 / /ü rw - tmpfs  rw', { point: '/ü', type: 'tmpfs', source: '', ...rest }],
    ['1 2 0:3 / /- rw - tmpfs - rw', { point: '/-', type: 'tmpfs', source: '-', ...rest }],
    ['1 2 0:3 / /a rw tmpfs x rw', undefined],
    ['1 2 0:3 / /a rw - tmpfs x', { point: '/a', type: 'tmpfs', source: 'x', id: '1', options: [''] }],
    ['1 2 0:3 / /a rw -', undefined],
    ['nonsense', undefined],
    ['', undefined],
  ];
  for (const [line, entry] of cases) t.same(parseMountinfo(`${line}\n`), entry === undefined ? [] : [entry], line);
  t.end();
});

t.test('all lines in their order, those that make no sense left out', (t) => {
  const text =
    '1 0 0:1 / / rw - ext4 /dev/sda rw\nnonsense\n2 1 0:2 / /a rw - tmpfs x rw\n3 2 0:3 / /a rw - udf y rw\n';
  t.same(
    parseMountinfo(text).map(({ point, type }) => `${point} ${type}`),
    ['/ ext4', '/a tmpfs', '/a udf'],
  );
  t.same(parseMountinfo(''), []);
  t.end();
});

t.test('the mounts of this process', async (t) => {
  t.match(
    (await readMounts()).find(({ point }) => point === '/proc'),
    { type: 'proc' },
  );
  t.equal(await findMount('/proc/none'), undefined);
});

t.test('of mounts upon each other the last one is seen, whatever its place is called', async (t) => {
  if (!needRoot(t)) return;
  const point = join(await mountFolder(t), 'a\tblank \\040 line\nfeed');
  await mkdir(point);
  await mountStranger(point);
  t.match(await findMount(point), { type: 'tmpfs', source: 'stranger' });
  await call('mount', '-t', 'tmpfs', 'above', point);
  t.match(await findMount(point), { source: 'above' });
  await call('umount', point);
  t.match(await findMount(point), { source: 'stranger' });
  await call('umount', point);
  t.equal(await findMount(point), undefined);
});
