import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { createAutoDriver } from '../../lib/mount/auto.js';
import type { ChildDriver } from '../../lib/mount/child-driver.js';
import { directDriver } from '../../lib/mount/direct.js';
import { smallIso } from '../fixtures/small-iso.js';

/** A loop driver that fails, or that mounts in a manner of its own. */
function loop(obstacle: string | undefined, error?: Error): ChildDriver {
  return {
    name: 'loop',
    whyNot: () => Promise.resolve(obstacle),
    async mount(source) {
      if (error !== undefined) throw error;
      return { ...(await directDriver.mount(source)), driver: 'loop' };
    },
  };
}

async function store(t: Test, bytes = smallIso({ a: 'a' })) {
  const path = join(t.testdir({}), 'a.iso');
  await writeFile(path, bytes);
  return { id: 'id', path };
}

async function mountedBy(t: Test, driver: ChildDriver): Promise<[name: string, why: string | undefined]> {
  const mount = await createAutoDriver(driver, directDriver).mount(await store(t));
  await mount.unmount();
  return [mount.driver, mount.why];
}

t.test('the kernel comes first', async (t) => {
  t.same(await mountedBy(t, loop(undefined)), ['loop', undefined]);
});

t.test('where the kernel cannot mount, the ISO is read directly, and the mount says why', async (t) => {
  t.same(await mountedBy(t, loop('no loop device')), ['direct', 'loop: no loop device']);
  const error = new ServiceError('UNAVAILABLE', 'permission denied');
  t.same(await mountedBy(t, loop(undefined, error)), ['direct', 'loop: permission denied']);
});

t.test('an ISO that is none is none for both', async (t) => {
  const source = await store(t, Buffer.alloc(100_000));
  await t.rejects(createAutoDriver(loop(undefined), directDriver).mount(source), { code: 'NOT_AN_ISO' });
});

t.test('an error of the program is not hidden', async (t) => {
  const error = new TypeError('a bug');
  await t.rejects(createAutoDriver(loop(undefined, error), directDriver).mount(await store(t)), error);
});
