import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';
import { killWorkers, usersOf, workersOf } from '../fixtures/workers.js';

const isRoot = process.getuid?.() === 0;
/** Debian's `nobody`. */
const nobody = 65_534;

/** A folder that everybody may read, or root alone. */
async function folderOf(t: Test, mode: number): Promise<string> {
  const folder = await temporaryFolder(t);
  await chmod(folder, mode);
  return folder;
}

async function users(): Promise<number[]> {
  const lists = await Promise.all((await workersOf(process.pid)).map(usersOf));
  return [...new Set(lists.flat())];
}

t.test(
  'started as root, the processes that face the network are nobody',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const folder = await folderOf(t, 0o755);
    const service = await startTestService(t, { southboundWorkers: 2 }, folder);
    t.same(await users(), [nobody]);
    await writeFile(join(folder, 'static/iso/a.iso'), smallIso({ readme: 'hello' }));
    const headers = { prefer: 'wait=20' };
    await ask(service.north, '/images?name=a&version=1&isostore=a.iso', { method: 'PUT', headers });
    t.equal((await ask(service.south, '/a/1/readme')).text, 'hello');
    t.notMatch(service.log.join(''), /root/);
  },
);

t.test('an upload and the list of digests can be read by them', { skip: !isRoot && 'needs root' }, async (t) => {
  const folder = await folderOf(t, 0o755);
  const service = await startTestService(t, { southboundWorkers: 1 }, folder);
  await ask(service.north, '/iso?name=a.iso', { method: 'PUT', body: smallIso({ readme: 'hello' }) });
  t.equal((await ask(service.south, '/iso/a.iso')).status, 200);
  t.match((await ask(service.south, '/iso/SHA256SUMS')).text, /a\.iso/);
});

t.test(
  'an ISO that their user may not read fails, and its record says why',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const folder = await folderOf(t, 0o755);
    const service = await startTestService(t, { southboundWorkers: 2 }, folder);
    const iso = join(folder, 'static/iso/a.iso');
    await writeFile(iso, smallIso({ readme: 'hello' }), { mode: 0o600 });
    const headers = { prefer: 'wait=20' };
    const put = await ask(service.north, '/images?name=a&version=1&isostore=a.iso', { method: 'PUT', headers });
    t.match(json(put), { status: 'failed', error: 'No permission to read the ISO' });
    t.equal((await ask(service.south, '/a/1/readme')).status, 404);
  },
);

t.test(
  'where nobody cannot read the files, they stay root, and the log says so',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const folder = await folderOf(t, 0o700);
    const service = await startTestService(t, { southboundWorkers: 1 }, folder);
    t.same(await users(), [0]);
    t.match(service.log.join(''), /stay root: user "nobody" may not read httpFileServiceRootDir ".*" \(EACCES\)/);
  },
);

t.test('a user of the configuration has to be able to read them', { skip: !isRoot && 'needs root' }, async (t) => {
  const closed = await folderOf(t, 0o700);
  const message = /user "nobody" may not read httpFileServiceRootDir/;
  await t.rejects(startTestService(t, { southboundWorkers: 1, user: 'nobody' }, closed), {
    code: 'BAD_REQUEST',
    message,
  });
  const open = await folderOf(t, 0o755);
  await t.rejects(startTestService(t, { southboundWorkers: 1, user: 'nobody-at-all' }, open), {
    code: 'BAD_REQUEST',
    message: /user "nobody-at-all"/,
  });
  t.same(await workersOf(process.pid), []);
});

t.test('a user can be given by its number, and root by its name', { skip: !isRoot && 'needs root' }, async (t) => {
  for (const [user, uid] of [
    ['12345', 12_345],
    ['daemon', 1],
    ['root', 0],
  ] as const) {
    const folder = await folderOf(t, 0o755);
    await mkdir(join(folder, 'static'));
    const service = await startTestService(t, { southboundWorkers: 1, user }, folder);
    t.same(await users(), [uid], user);
    await service.service.stop();
  }
});

t.test(
  'a worker that is started again is nobody too, whatever it can read by then',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const folder = await folderOf(t, 0o755);
    await startTestService(t, { southboundWorkers: 1 }, folder);
    t.same(await users(), [nobody]);
    await chmod(join(folder, 'static/iso'), 0o700);
    await killWorkers(process.pid, await workersOf(process.pid));
    await waitFor('its user', async () => (await users()).every((user) => user === nobody));
    t.same(await users(), [nobody]);
  },
);
