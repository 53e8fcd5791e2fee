import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { serializeEntries } from '../../lib/access/entries.js';
import { basic, bearer, passwordEntry, tokenEntry } from '../fixtures/access.js';
import { ask, json } from '../fixtures/client.js';
import { curl, everythingBelow, fileOf, needs, tool } from '../fixtures/e2e-tools.js';
import { mainFile, run, startProcess } from '../fixtures/process.js';
import { startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

async function guardedService(t: Test, settings: Readonly<Record<string, unknown>> = {}) {
  const folder = await temporaryFolder(t);
  const authFile = join(folder, 'auth.json');
  const reader = await tokenEntry('reader');
  const writer = await tokenEntry('writer', { scope: 'write' });
  const anna = await passwordEntry('anna', 'correct horse', { scope: 'write' });
  await writeFile(authFile, serializeEntries([reader.entry, writer.entry, anna]), { mode: 0o600 });
  const service = await startTestService(t, { authFile, ...settings }, folder);
  return { ...service, authFile, reader: reader.token, writer: writer.token };
}

const resources = ['/images', '/images/x', '/iso', '/microkernel', '/status'];

t.test('northbound needs credentials but for its page, and southbound none', async (t) => {
  const { north, south, writer } = await guardedService(t);
  for (const path of resources) {
    for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH']) {
      t.equal((await ask(north, path, { method })).status, 401, `${method} ${path}`);
    }
    t.equal((await ask(north, path, { method: 'OPTIONS' })).status, 204, path);
  }
  t.equal((await ask(north, '/')).status, 200);
  t.equal((await ask(north, '/', { method: 'DELETE' })).status, 401);
  t.equal((await ask(north, '/images?nonsense', { method: 'PUT', body: '{' })).status, 401, 'before anything is read');
  const answer = await ask(north, '/iso?name=a.iso', { method: 'PUT', headers: bearer(writer), body: smallIso({}) });
  t.equal(answer.status, 200);
  t.equal((await ask(south, '/iso/a.iso')).status, 200);
  t.equal((await ask(south, '/')).status, 200);
});

t.test('on an endpoint with both routers, files need no credentials and the API does', async (t) => {
  const both = [{ address: '127.0.0.1', port: 0, routers: ['northbound', 'southbound'] }];
  const { north, writer } = await guardedService(t, { httpEndpoints: both });
  const put = { method: 'PUT', headers: { ...bearer(writer), prefer: 'wait=10' }, body: smallIso({ kernel: 'Linux' }) };
  t.equal((await ask(north, '/images?name=n&version=1&isoclient=a.iso', put)).status, 200);
  t.equal((await ask(north, '/n/1/kernel')).text, 'Linux');
  t.equal((await ask(north, '/iso/a.iso')).status, 200);
  t.equal((await ask(north, '/none')).status, 404);
  for (const path of resources) t.equal((await ask(north, path)).status, 401, path);
});

t.test('curl logs in by token and by password, and is told why it may not', await needs('curl'), async (t) => {
  const { north, reader, writer, folder } = await guardedService(t);
  const iso = await fileOf(folder, 'a.iso', smallIso({ kernel: 'Linux' }));
  const upload = (...args: string[]) => curl([...args, '-T', iso, `${north}/iso?name=a.iso`]);
  t.match(await upload('-H', `Authorization: Bearer ${writer}`), { code: 0, status: 200, text: /Upload finished!/ });
  t.match(await upload('--oauth2-bearer', writer), { code: 0, status: 200 });
  t.match(await upload('-u', 'anna:correct horse'), { code: 0, status: 200 });
  t.match(await upload('--anyauth', '-u', 'anna:correct horse'), { code: 0, status: 200 });
  t.match(await upload('-H', `Authorization: Bearer ${reader}`), { status: 403, text: /may only read/ });
  t.match(await upload('-u', 'anna:wrong'), { status: 401, text: /UNAUTHORIZED/ });
  t.match(await upload(), { status: 401 });
  t.match(await curl(['-H', `Authorization: Bearer ${reader}`, `${north}/iso`]), { status: 200, text: /a\.iso/ });
});

t.test('wget and Python’s urllib log in when they are asked to', await needs('wget', 'python3'), async (t) => {
  const { north } = await guardedService(t);
  const wget = await tool('wget', ['-qO-', '--user=anna', '--password=correct horse', `${north}/images`]);
  t.match(wget, { code: 0, stdout: /^\[\]/ });
  const script = `
import sys, urllib.request as r
passwords = r.HTTPPasswordMgrWithDefaultRealm()
passwords.add_password(None, sys.argv[1], 'anna', 'correct horse')
print(r.build_opener(r.HTTPBasicAuthHandler(passwords)).open(sys.argv[1] + '/images').read().decode())
`;
  t.match(await tool('python3', ['-c', script, north]), { code: 0, stdout: /^\[\]/ });
});

t.test('a large upload with a wrong token is told so, and stores nothing', await needs('curl'), async (t) => {
  const { north, folder, reader } = await guardedService(t);
  const file = await fileOf(folder, 'large.iso', '');
  await truncate(file, 300 * 2 ** 20);
  const before = await everythingBelow(join(folder, 'static'));
  const paths = ['/iso?name=large.iso', '/microkernel?name=large', '/images?name=n&version=1&isoclient=large.iso'];
  for (const path of paths) {
    for (const expect of ['Expect: 100-continue', 'Expect:']) {
      const wrong = ['-H', expect, '-H', `Authorization: Bearer ${reader.slice(0, -3)}123`, '-T', file];
      const refused = await curl([...wrong, north + path]);
      t.match(refused, { status: 401, text: /UNAUTHORIZED/ }, `${path} ${expect}`);
      if (expect.includes('100')) t.equal(refused.sent, 0, 'a client that asks first sends nothing');
    }
  }
  const refused = await curl(['-H', `Authorization: Bearer ${reader}`, '-T', file, `${north}/iso?name=large.iso`]);
  t.match(refused, { status: 403, text: /FORBIDDEN/ });
  t.same(await everythingBelow(join(folder, 'static')), before);
  t.same(json(await ask(north, '/iso', { headers: bearer(reader) })), []);
});

t.test('a token is made, used, and removed while the service runs', async (t) => {
  const folder = await temporaryFolder(t);
  const authFile = join(folder, 'auth.json');
  const service = await startProcess(t, folder, { authFile });
  const { north } = service;
  const command = (...args: string[]) =>
    run(process.execPath, [mainFile, ...args, '--config', join(folder, 'config.json')]);
  t.equal((await ask(north, '/images')).status, 401);
  const token = (await command('token', 'add', 'ci', '--scope', 'write')).stdout.trim();
  const status = async () => (await ask(north, '/images', { headers: bearer(token) })).status;
  t.equal(await status(), 200);
  t.equal((await ask(north, '/microkernel?name=k', { method: 'PUT', headers: bearer(token), body: 'k' })).status, 200);
  const set = run(process.execPath, [mainFile, 'password', 'set', 'anna', '--config', join(folder, 'config.json')], {
    input: 'correct horse',
  });
  t.equal((await set).code, 0);
  t.equal((await ask(north, '/images', { headers: basic('anna', 'correct horse') })).status, 200);
  t.equal((await command('token', 'remove', 'ci')).code, 0);
  t.equal(await status(), 401);
  for (const secret of [token, 'correct horse']) t.notOk(service.output().includes(secret));
});

t.test('a broken file of tokens ends the start, before any port is opened', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'auth.json'), '{"entries": {}}');
  const error: unknown = await startProcess(t, folder, { authFile: join(folder, 'auth.json') }).catch(
    (reason: unknown) => reason,
  );
  t.match(error, { message: /authFile ".*auth\.json": it must be an object with a list "entries"/ });
  t.notMatch(error, { message: / on 127\.0\.0\.1 port/ });
});
