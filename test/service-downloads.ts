import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import t from 'tap';
import { readConfig } from '../lib/config.js';
import { downloadPolicy, downloadSlots } from '../lib/service-downloads.js';
import { Settings } from '../lib/service-settings.js';
import { certificate } from './fixtures/download-server.js';
import { temporaryFolder } from './fixtures/service.js';

function configOf(settings: Readonly<Record<string, unknown>>) {
  return readConfig(JSON.stringify(settings), '/root', {}, 'test');
}

t.test('downloads go by the hosts and authorities of the last reload', async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'ca.pem');
  const [one, other] = [await certificate(folder, '127.0.0.1'), await certificate(folder, '127.0.0.2')];
  await writeFile(file, one.cert);
  const settings = new Settings(configOf({ isoWebHosts: ['a.example'] }));
  const policy = await downloadPolicy(settings);
  t.same(policy.hosts, ['a.example']);
  t.equal(policy.ca, undefined);
  const config = configOf({ isoWebHosts: ['b.example'], tlsCaFile: file });
  await settings.reload(config);
  t.same(policy.hosts, ['b.example']);
  t.equal(policy.ca?.length, rootCertificates.length + 1);
  t.equal(policy.ca?.at(-1), one.cert.toString().trim());
  await writeFile(file, other.cert);
  t.same((await settings.reload(config)).changed, []);
  t.equal(policy.ca?.at(-1), other.cert.toString().trim(), 'the file is read again also when its name is the same');
  await writeFile(file, 'no certificate');
  await t.rejects(settings.reload(configOf({ isoWebHosts: ['c.example'], tlsCaFile: file })), {
    message: /^tlsCaFile/,
  });
  t.same(policy.hosts, ['b.example']);
  t.equal(policy.ca?.at(-1), other.cert.toString().trim());
});

t.test('a file of authorities that cannot be used ends the start', async (t) => {
  await t.rejects(downloadPolicy(new Settings(configOf({ tlsCaFile: '/missing' }))), { message: /^tlsCaFile/ });
});

t.test('downloads that wait begin when a reload allows more at a time', async (t) => {
  const settings = new Settings(configOf({ downloads: 1 }));
  const slots = downloadSlots(settings);
  const begun: string[] = [];
  const never = new Promise<void>(() => undefined);
  for (const name of ['a', 'b']) void slots.run(() => (begun.push(name), never));
  t.same(begun, ['a']);
  await settings.reload(configOf({ downloads: 2 }));
  await new Promise(setImmediate);
  t.same(begun, ['a', 'b']);
});
