import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Health } from '../lib/service-health.js';
import { temporaryFolder } from './fixtures/service.js';

async function storesOf(t: Test) {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, '.image-service'));
  return { iso: { folder }, common: { folder } };
}

t.test('it is ready while it runs, and neither before nor after', async (t) => {
  const health = new Health({ stores: await storesOf(t), minFreeBytes: () => 0, pool: undefined });
  t.same(await health.reasons(), ['the service is starting']);
  const order: string[] = [];
  const events = { begin: () => order.push('events'), stop: () => order.push('no events') };
  const stop = () => {
    order.push('no service');
    return Promise.resolve();
  };
  const service = health.serve({ endpoints: [], stop }, events);
  t.same(await health.reasons(), []);
  await service.stop();
  t.same(await health.reasons(), ['the service is stopping']);
  t.same(order, ['events', 'no events', 'no service'], 'whoever reads events keeps nobody waiting');
});

t.test('without a worker process that lives it is not ready, nor is it where a store fails', async (t) => {
  const pool = { isServing: false };
  const stores = { ...(await storesOf(t)), common: { folder: join(await temporaryFolder(t), 'none') } };
  const health = new Health({ stores, minFreeBytes: () => 0, pool });
  health.serve({ stop: () => Promise.resolve() }, { begin: () => undefined, stop: () => undefined });
  const missing = 'the store microkernel cannot be written: its folder is missing';
  t.same(await health.reasons(), [missing, 'no worker process is running']);
  pool.isServing = true;
  t.same(await health.reasons(), [missing]);
});
