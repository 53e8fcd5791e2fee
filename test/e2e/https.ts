import { appendFile, rm, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { needTools } from '../fixtures/iso-tools.js';
import { startProcess } from '../fixtures/process.js';
import { startTestService, temporaryFolder } from '../fixtures/service.js';
import { askTls, Authority, connectTls, replacePair } from '../fixtures/tls.js';
import { waitFor } from '../fixtures/wait.js';
import { killWorkers, withEach, workersOf } from '../fixtures/workers.js';

const secured = (url: string) => url.replace('http:', 'https:');

/** An authority, and the endpoints of a service with a certificate of it. */
async function prepare(t: Test, isForClients = false) {
  const folder = await temporaryFolder(t);
  const authority = await Authority.create(folder, 'authority');
  const pair = await authority.issue('server');
  const tls = { cert: pair.certFile, key: pair.keyFile, ...(isForClients && { ca: authority.file }) };
  const endpoint = (routers: string) => ({ address: '127.0.0.1', port: 0, routers, tls });
  return { authority, pair, ca: await authority.text(), endpoints: [endpoint('northbound'), endpoint('southbound')] };
}

for (const southboundWorkers of [0, 2]) {
  t.test(`with ${southboundWorkers} workers, both sides speak https and show a renewed certificate`, async (t) => {
    if (!(await needTools(t, 'openssl'))) return;
    const { authority, pair, ca, endpoints } = await prepare(t);
    const service = await startTestService(t, { httpEndpoints: endpoints, southboundWorkers });
    const [north, south] = [secured(service.north), secured(service.south)];
    const body = Buffer.alloc(2_000_000, 'x');
    t.equal((await askTls(north, '/microkernel?name=k', { ca }, { method: 'PUT', body })).status, 200);
    const read = () => askTls(south, '/common/k', { ca });
    const readByAll = () => (southboundWorkers === 0 ? read().then((one) => [one]) : withEach(process.pid, read));
    for (const { server, text } of await readByAll()) t.same([server, text.length], ['server', body.length]);
    t.match(service.log.join(''), /northbound on 127\.0\.0\.1 port \d+, https\n/);
    t.match(service.log.join(''), /southbound on 127\.0\.0\.1 port \d+, https\n/);

    const stays = await connectTls(south, { ca });
    await replacePair(pair, await authority.issue('renewed'));
    await service.service.reload(service.config);
    for (const { server } of await readByAll()) t.equal(server, 'renewed');
    t.equal((await askTls(north, '/images', { ca })).server, 'renewed');
    t.notOk(stays.destroyed, 'a connection that is open stays');
    stays.destroy();

    await writeFile(pair.keyFile, 'broken');
    await service.service.reload(service.config);
    for (const { server } of await readByAll()) t.equal(server, 'renewed', 'the former one stays in use');
    t.match(
      service.log.join(''),
      / error .*httpEndpoints\[1\]\.tls\.key ".*": .*the former certificate stays in use\n/,
    );
    if (southboundWorkers === 0) return;
    await killWorkers(process.pid, await workersOf(process.pid));
    for (const { server } of await readByAll()) t.equal(server, 'renewed', 'a later worker has it too');
  });

  t.test(`with ${southboundWorkers} workers, clients without a certificate of the authority get nothing`, async (t) => {
    if (!(await needTools(t, 'openssl'))) return;
    const { authority, ca, endpoints } = await prepare(t, true);
    const service = await startTestService(t, { httpEndpoints: endpoints, southboundWorkers });
    const { cert, key } = await authority.issue('client');
    const stranger = await (await Authority.create(authority.folder, 'elsewhere')).issue('stranger');
    for (const url of [secured(service.north), secured(service.south)]) {
      t.equal((await askTls(url, '/', { ca, cert, key })).status, 200);
      await t.rejects(askTls(url, '/', { ca }));
      await t.rejects(askTls(url, '/', { ca, cert: stranger.cert, key: stranger.key }));
    }
    t.match(service.log.join(''), /, https, clients with certificates only\n/);
  });
}

t.test('a certificate that is missing or broken keeps the service from starting', async (t) => {
  if (!(await needTools(t, 'openssl'))) return;
  const { pair, endpoints } = await prepare(t);
  await rm(pair.keyFile);
  const missing = /^httpEndpoints\[0\]\.tls\.key ".*server\.key": there is no such file$/;
  await t.rejects(startTestService(t, { httpEndpoints: endpoints }), { code: 'BAD_REQUEST', message: missing });
  await appendFile(pair.certFile, '-----BEGIN NONSENSE-----');
  const broken = /^httpEndpoints\[0\]\.tls\.cert ".*server\.pem": it is no file of certificates in PEM$/;
  await t.rejects(startTestService(t, { httpEndpoints: endpoints, southboundWorkers: 2 }), { message: broken });
  t.same(await workersOf(process.pid), [], 'no worker stays');
});

t.test('an expired certificate is used, and said', async (t) => {
  if (!(await needTools(t, 'openssl'))) return;
  const { authority, pair, endpoints } = await prepare(t);
  await replacePair(pair, await authority.issue('expired', -1));
  const { log } = await startTestService(t, { httpEndpoints: endpoints });
  t.match(log.join(''), / warning .*httpEndpoints\[0\]\.tls: the certificate has expired on /);
});

t.test('SIGHUP has the certificates read again', async (t) => {
  if (!(await needTools(t, 'openssl'))) return;
  const { authority, pair, ca, endpoints } = await prepare(t);
  const service = await startProcess(t, await temporaryFolder(t), { httpEndpoints: endpoints, southboundWorkers: 1 });
  const [north, south] = [secured(service.north), secured(service.south)];
  t.equal((await askTls(south, '/', { ca })).server, 'server');
  await replacePair(pair, await authority.issue('renewed'));
  service.child.kill('SIGHUP');
  for (const url of [north, south]) {
    await waitFor('the renewed one', async () => (await askTls(url, '/', { ca })).server === 'renewed');
  }
  t.match(service.output(), /SIGHUP/);
  t.equal((await service.end('SIGTERM')).code, 0);
});
