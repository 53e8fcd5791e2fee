import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openDriver } from '../../lib/mount/drivers.js';
import {
  call,
  keepLog,
  mountFolder,
  mountsIn,
  mountStranger,
  needFuseiso,
  needRoot,
} from '../fixtures/child-mounts.js';
import { smallIso } from '../fixtures/small-iso.js';
import { fileOf } from '../fixtures/e2e-tools.js';

const mountDir = '/nowhere/mounts';
const isOurs = () => false;

t.test('the direct driver needs nothing, makes no folder and says nothing', async (t) => {
  const { log, lines } = keepLog();
  const { driver, unavailable } = await openDriver({ driver: 'direct', mountDir, isOurs, log });
  t.equal(driver.name, 'direct');
  t.equal(unavailable, undefined);
  t.same(lines, []);
});

const programs = { mount: '/nowhere/mount', fuseiso: '/nowhere/fuseiso' };

t.test('a driver that cannot work here is said once at the start, in words', async (t) => {
  for (const [name, program] of [
    ['loop', 'mount'],
    ['fuse', 'fuseiso'],
  ] as const) {
    const { log, lines } = keepLog();
    const opened = await openDriver({ driver: name, mountDir, isOurs, log, programs });
    t.equal(opened.driver.name, name);
    t.equal(opened.unavailable, `${program} is not installed`);
    const served = 'stores and microkernels are served';
    t.same(lines, [`error    No ISO can be mounted by the driver "${name}": ${program} is not installed; ${served}`]);
  }
  const { log, lines } = keepLog();
  const { unavailable } = await openDriver({ driver: 'auto', mountDir, isOurs, log, programs });
  t.equal(unavailable, 'mount is not installed');
  t.same(lines, ['info     ISOs are read directly, as mount is not installed'], 'what still works is no error');
});

t.test('an image says of a driver that cannot work what is in its way', async (t) => {
  const folder = await mountFolder(t);
  const path = await fileOf(folder, 'a.iso', smallIso({ hello: 'hello' }));
  const options = { mountDir: join(folder, 'mounts'), isOurs, log: keepLog().log, programs };
  const { driver } = await openDriver({ ...options, driver: 'loop' });
  const message = 'The mount driver "loop" cannot work: mount is not installed';
  await t.rejects(driver.mount({ id: 'b', path }), { code: 'UNAVAILABLE', message });
  const wrong = await fileOf(folder, 'wrong.iso', 'no ISO');
  await t.rejects(driver.mount({ id: 'c', path: wrong }), { code: 'NOT_AN_ISO' }, 'but what is no ISO is none');
  const { driver: auto } = await openDriver({ ...options, driver: 'auto' });
  const mounted = await auto.mount({ id: 'a', path });
  t.match(mounted, { driver: 'direct', why: 'loop: mount is not installed' });
  await mounted.unmount();
});

const left = '6807e9b2-a763-4b74-bfe9-4b20fe964400';

t.test('mounts that a killed service has left are taken away, whichever driver is wanted now', async (t) => {
  if (!needRoot(t) || !(await needFuseiso(t))) return;
  const folder = await mountFolder(t);
  const path = await fileOf(folder, 'a.iso', smallIso({ hello: 'hello' }));
  const { log, lines } = keepLog();
  const options = { mountDir: join(folder, 'mounts'), isOurs, log };
  await mkdir(join(folder, 'mounts', left), { recursive: true });
  await call('fuseiso', '-n', path, join(folder, 'mounts', left), '-o', 'ro');
  await mountStranger(join(folder, 'mounts', 'stranger'));
  t.equal((await mountsIn(folder)).length, 2);
  await openDriver({ ...options, driver: 'direct' });
  t.match(await mountsIn(folder), [{ source: 'stranger' }]);
  const said = lines.filter((line) => line.startsWith('warning'));
  t.ok(said.includes('warning  1 mounts of an earlier run were taken away'));
  t.ok(said.some((line) => line.includes('stranger is left alone')));
  t.match(await readFile(path), /./, 'the ISO is still there');
});
