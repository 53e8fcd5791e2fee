import { writeFile } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ask } from '../fixtures/client.js';
import { startProcess } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';
import { waitFor } from '../fixtures/wait.js';
import { workersOf } from '../fixtures/workers.js';

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

t.test('workers go with a main process that is killed, and the ports are free again', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'static'));
  await writeFile(join(folder, 'static/file'), 'hello');
  const service = await startProcess(t, folder, { southboundWorkers: 2 });
  t.equal((await ask(service.south, '/file')).text, 'hello');
  const workers = await workersOf(service.child.pid ?? 0);
  t.equal(workers.length, 2);
  await service.end('SIGKILL');
  await waitFor('the end of the workers', () => !workers.some(isAlive));
  await t.rejects(ask(service.south, '/file'), { code: 'ECONNREFUSED' });
});

t.test('a signal that comes to all processes of a terminal lets requests in flight end', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'static'));
  await writeFile(join(folder, 'static/file'), 'hello');
  const service = await startProcess(t, folder, { southboundWorkers: 2 });
  const workers = await workersOf(service.child.pid ?? 0);
  for (const worker of workers) process.kill(worker, 'SIGINT');
  t.equal((await ask(service.south, '/file')).text, 'hello');
  t.equal((await service.end('SIGINT')).code, 0);
  await waitFor('the end of the workers', () => !workers.some(isAlive));
});

t.test('without workers the main process serves', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'static'));
  await writeFile(join(folder, 'static/file'), 'hello');
  const service = await startProcess(t, folder, { southboundWorkers: 0 });
  t.equal((await ask(service.south, '/file')).text, 'hello');
  t.same(await workersOf(service.child.pid ?? 0), []);
});
