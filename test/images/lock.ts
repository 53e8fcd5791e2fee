import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { lock } from '../../lib/images/lock.js';

t.test('what one has locked nobody else gets, until it is given back', async (t) => {
  const path = `/a/${process.pid}`;
  const release = await lock(path);
  await t.rejects(lock(path), { code: 'BUSY', message: /in use by another image-service/ });
  const other = await lock(`${path}/other`);
  other();
  release();
  (await lock(path))();
});

t.test('a lock goes with its process, however that ends', async (t) => {
  const path = `/b/${process.pid}`;
  const url = new URL('../../lib/images/lock.js', import.meta.url).href;
  const program = `await (await import('${url}')).lock('${path}'); console.log('locked'); setInterval(() => {}, 1e6);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  await t.rejects(lock(path), { code: 'BUSY' });
  child.kill('SIGKILL');
  await once(child, 'close');
  (await lock(path))();
});
