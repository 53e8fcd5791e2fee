import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ask, json } from '../fixtures/client.js';
import { farEnd } from '../fixtures/download-server.js';
import { fileOf, settledImage } from '../fixtures/e2e-tools.js';
import { startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

const iso = smallIso({ kernel: 'Linux' });

for (const southboundWorkers of [0, 1]) {
  t.test(`with ${southboundWorkers} workers, southboundAllow says which machines get files`, async (t) => {
    const start = (southboundAllow: unknown) => startTestService(t, { southboundWorkers, southboundAllow });
    for (const networks of [null, ['127.0.0.0/8'], ['10.0.0.0/8', '127.0.0.1']]) {
      const { south } = await start(networks);
      t.equal((await ask(south, '/')).status, 200, JSON.stringify(networks));
    }
    const { north, south } = await start(['10.0.0.0/8', '::1']);
    for (const path of ['/', '/iso/', '/missing']) {
      const answer = await ask(south, path);
      t.match(answer, { status: 403, headers: { connection: 'close' } }, path);
      t.match(json(answer), { code: 'FORBIDDEN', message: /127\.0\.0\.1.*southboundAllow/ });
    }
    t.equal((await ask(north, '/iso')).status, 200, 'the management API is not meant');
  });
}

t.test('southboundAllow knows a client of IPv4 also where the endpoint takes both', async (t) => {
  const endpoint = (address: string, routers: string) => ({ address, port: 0, routers });
  const httpEndpoints = [endpoint('127.0.0.1', 'northbound'), endpoint('::', 'southbound')];
  const allowed = await startTestService(t, { httpEndpoints, southboundAllow: ['127.0.0.1'] });
  t.equal((await ask(allowed.south, '/')).status, 200);
  const refused = await startTestService(t, { httpEndpoints, southboundAllow: ['10.0.0.0/8', '::/0'] });
  t.equal((await ask(refused.south, '/')).status, 403, 'not as one of IPv6');
});

t.test('isoLocalDirs says where isolocal may take from', async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of ['allowed', 'elsewhere']) await mkdir(join(folder, name));
  const good = await fileOf(join(folder, 'allowed'), 'good.iso', iso);
  const bad = await fileOf(join(folder, 'elsewhere'), 'bad.iso', iso);
  const { north } = await startTestService(t, { isoLocalDirs: [join(folder, 'allowed')] });
  const put = (name: string, path: string) =>
    ask(north, `/images?name=${name}&version=1&isolocal=${encodeURIComponent(path)}`, { method: 'PUT' });
  const refusal = await put('bad', bad);
  t.equal(refusal.status, 403);
  t.match(json(refusal), { code: 'FORBIDDEN', message: /isoLocalDirs/ });
  t.equal((await put('good', good)).status, 202);
  t.match(await settledImage(north, 'good'), { status: 'OK' });
});

t.test('isoWebHosts says where isoweb may download from, and where redirects may lead', async (t) => {
  const other = await farEnd(t, (_request, response) => response.end(iso));
  const far = await farEnd(t, (request, response) => {
    if (request.url === '/away.iso') response.writeHead(302, { Location: `${other.url}/x.iso` }).end();
    else response.end(iso);
  });
  const { north } = await startTestService(t, { isoWebHosts: [new URL(far.url).host] });
  const put = (name: string, url: string) =>
    ask(north, `/images?name=${name}&version=1&isoweb=${encodeURIComponent(url)}`, { method: 'PUT' });
  const refusal = await put('bad', `${other.url}/x.iso`);
  t.equal(refusal.status, 403);
  t.match(json(refusal), { message: /isoWebHosts does not list it/ });
  t.equal((await put('good', `${far.url}/good.iso`)).status, 202);
  t.match(await settledImage(north, 'good'), { status: 'OK' });
  t.equal((await put('away', `${far.url}/away.iso`)).status, 202);
  t.match(await settledImage(north, 'away'), { status: 'failed', error: /isoWebHosts does not list it/ });
  t.same(other.headers, [], 'nobody has asked there');
});
