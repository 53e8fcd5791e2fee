import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import t from 'tap';
import { readAuthorities } from '../../lib/images/download-authorities.js';
import { certificate } from '../fixtures/download-server.js';

t.test('the certificates of a file are trusted beside those of Node', async (t) => {
  const folder = t.testdir({});
  const { cert, certFile } = await certificate(folder, '127.0.0.1');
  const { cert: other } = await certificate(folder, '127.0.0.2');
  const one = cert.toString().trim();
  t.same(await readAuthorities(certFile), [...rootCertificates, one]);
  const bundle = join(folder, 'bundle.pem');
  await writeFile(bundle, `# ours\r\n${one}\r\n\r\nCN = test\r\n${other.toString()}`);
  t.same(await readAuthorities(bundle), [...rootCertificates, one, other.toString().trim()]);
});

t.test('a file that holds no certificates, or not only those, is refused by its key', async (t) => {
  const folder = t.testdir({ empty: '', text: 'hello', malformed: '' });
  const { cert, key } = await certificate(folder, '127.0.0.1');
  const pem = cert.toString();
  const files: Readonly<Record<string, [content: string | undefined, message: RegExp]>> = {
    empty: ['', /: it is no file of certificates in PEM$/],
    text: ['hello', /: it is no file of certificates in PEM$/],
    'key.pem': [key.toString(), /: it is no file of certificates in PEM$/],
    'with-key.pem': [pem + key.toString(), /: it is no file of certificates in PEM$/],
    'cut.pem': [pem + pem.slice(0, 400), /: it is no file of certificates in PEM$/],
    'der.pem': [pem + pem.replace(/M.../, '!!!!'), /: its certificate number 2 is malformed$/],
    'missing.pem': [undefined, /: there is no such file$/],
    '.': [undefined, /: it is a folder$/],
  };
  for (const [name, [content, message]] of Object.entries(files)) {
    const path = join(folder, name);
    if (content !== undefined) await writeFile(path, content);
    await t.rejects(readAuthorities(path), { code: 'BAD_REQUEST', message }, name);
    await t.rejects(readAuthorities(path), { message: /^tlsCaFile "/ }, name);
  }
});
