import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { contextOptions, Credentials, describeCertificate, readTls } from '../../lib/http/tls.js';
import { needTools, outputOf } from '../fixtures/iso-tools.js';
import { Authority, textsOf } from '../fixtures/tls.js';

t.test('what belongs together is read', async (t) => {
  if (!(await needTools(t, 'openssl'))) return;
  const authority = await Authority.create(t.testdir({}), 'authority');
  const pair = await authority.issue('server');
  const files = { cert: pair.certFile, key: pair.keyFile };
  t.same(await readTls(files, 'tls'), textsOf(pair));
  const ca = await authority.text();
  t.same(await readTls({ ...files, ca: authority.file }, 'tls'), textsOf(pair, ca));
  const chain = join(authority.folder, 'chain.pem');
  await writeFile(chain, pair.cert + ca);
  t.same(await readTls({ ...files, cert: chain }, 'tls'), { cert: pair.cert + ca, key: pair.key });
});

t.test('what is missing, broken or of somebody else is refused by its key', async (t) => {
  if (!(await needTools(t, 'openssl'))) return;
  const authority = await Authority.create(t.testdir({}), 'authority');
  const { certFile: cert, keyFile: key, ...texts } = await authority.issue('server');
  const other = await authority.issue('other');
  const at = (name: string) => join(authority.folder, name);
  await writeFile(at('text'), 'hello');
  await writeFile(at('reversed.pem'), (await authority.text()) + texts.cert);
  await outputOf('openssl', ['ec', '-in', key, '-aes256', '-passout', 'pass:secret', '-out', at('locked.pem')]);
  await outputOf('openssl', ['pkcs8', '-topk8', '-in', key, '-passout', 'pass:secret', '-out', at('locked8.pem')]);
  await outputOf('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:512',
    '-nodes',
    '-subj',
    '/CN=weak',
    '-keyout',
    at('weak.key'),
    '-out',
    at('weak.pem'),
  ]);
  const cases: [files: Parameters<typeof readTls>[0], message: RegExp][] = [
    [{ cert: at('missing'), key }, /^tls\.cert ".*missing": there is no such file$/],
    [{ cert, key: at('missing') }, /^tls\.key ".*missing": there is no such file$/],
    [{ cert, key, ca: at('missing') }, /^tls\.ca ".*missing": there is no such file$/],
    [{ cert: at('text'), key }, /^tls\.cert .*: it is no file of certificates in PEM$/],
    [{ cert: key, key }, /^tls\.cert .*: it is no file of certificates in PEM$/],
    [{ cert, key: at('text') }, /^tls\.key .*: it is no private key in PEM$/],
    [{ cert, key: cert }, /^tls\.key .*: it is no private key in PEM$/],
    [{ cert, key: at('locked.pem') }, /^tls\.key .*: it is encrypted/],
    [{ cert, key: at('locked8.pem') }, /^tls\.key .*: it is encrypted/],
    [{ cert, key: other.keyFile }, /^tls\.key .*: it is not the key of the certificate$/],
    [{ cert: at('reversed.pem'), key }, /^tls\.key .*: it is not the key of the certificate$/],
    [{ cert, key, ca: at('text') }, /^tls\.ca .*: it is no file of certificates in PEM$/],
    [{ cert: at('weak.pem'), key: at('weak.key') }, /^tls\.cert .*: .*too small/],
  ];
  for (const [files, message] of cases) {
    await t.rejects(readTls(files, 'tls'), { code: 'BAD_REQUEST', message }, message.source);
  }
});

t.test('a log is told whose certificate it is, and when it is not valid', async (t) => {
  if (!(await needTools(t, 'openssl'))) return;
  const authority = await Authority.create(t.testdir({}), 'authority');
  const texts = textsOf(await authority.issue('server', 2));
  const day = 86_400_000;
  t.match(describeCertificate(texts), { words: /^CN=server, valid until .* GMT$/, problem: undefined });
  t.match(describeCertificate(texts, new Date(Date.now() + 3 * day)), { problem: /has expired on .* GMT$/ });
  t.match(describeCertificate(texts, new Date(Date.now() - day)), { problem: /is not valid before .* GMT$/ });
});

t.test('whoever uses credentials is told of each renewal, until that is ended', (t) => {
  const [first, second] = [
    { cert: 'a', key: 'b' },
    { cert: 'c', key: 'd' },
  ];
  const credentials = new Credentials(first);
  const told: unknown[] = [];
  credentials.onRenewal((texts) => told.push(['one', texts]));
  const end = credentials.onRenewal((texts) => told.push(['two', texts]));
  t.equal(credentials.texts, first);
  credentials.renew(second);
  t.equal(credentials.texts, second);
  t.same(told, [
    ['one', second],
    ['two', second],
  ]);
  end();
  credentials.renew(first);
  t.same(told.slice(2), [['one', first]]);
  t.end();
});

t.test('where clients need certificates, no session is resumed', (t) => {
  t.same(contextOptions({ cert: 'a', key: 'b' }), { cert: 'a', key: 'b' });
  t.match(contextOptions({ cert: 'a', key: 'b', ca: 'c' }), { ca: 'c', secureOptions: Number });
  t.end();
});
