import { writeFile } from 'node:fs/promises';
import t from 'tap';
import type { Endpoint } from '../lib/config-keys.js';
import { createLog } from '../lib/log.js';
import { Certificates } from '../lib/service-certificates.js';
import { needTools } from './fixtures/iso-tools.js';
import { Authority, replacePair, textsOf } from './fixtures/tls.js';

t.test('each endpoint has its own certificate, and a broken one keeps nobody else from being renewed', async (t) => {
  if (!(await needTools(t, 'openssl'))) return;
  const authority = await Authority.create(t.testdir({}), 'authority');
  const [one, two] = [await authority.issue('one'), await authority.issue('two')];
  const lines: string[] = [];
  const log = createLog(0, (line) => lines.push(line));
  const plain: Endpoint = { address: '127.0.0.1', port: 0, routers: ['northbound'] };
  const secured = ({ certFile: cert, keyFile: key }: typeof one): Endpoint => ({ ...plain, tls: { cert, key } });
  const certificates = await Certificates.read([plain, secured(one), secured(two)], log);
  t.equal(certificates.of(0), undefined);
  t.same([certificates.of(1)?.texts, certificates.of(2)?.texts], [textsOf(one), textsOf(two)]);
  t.match(lines.splice(0).join(''), /httpEndpoints\[1\]\.tls: the certificate is CN=one, valid until/);

  const renewed = await authority.issue('renewed');
  await writeFile(one.keyFile, two.key);
  await replacePair(two, renewed);
  await Promise.all([certificates.reload(), certificates.reload()]);
  t.same([certificates.of(1)?.texts, certificates.of(2)?.texts], [textsOf(one), textsOf(renewed)]);
  const failures = lines.filter((line) => line.includes(' error '));
  t.match(failures[0], /httpEndpoints\[1\]\.tls\.key ".*": it is not the key of the certificate; the former/);
  t.equal(failures.length, 2, 'once for each reload');
  t.match(lines.join(''), /httpEndpoints\[2\]\.tls: the certificate is now CN=renewed/);
});
