import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { certificatesOf, readPem, refuseFile } from '../lib/pem.js';
import { certificate } from './fixtures/download-server.js';

t.test('the certificates of a text are found in order, whatever is around them', async (t) => {
  const folder = t.testdir({});
  const one = (await certificate(folder, '127.0.0.1')).cert.toString();
  const two = (await certificate(folder, '127.0.0.2')).cert.toString();
  t.same(certificatesOf(`# ours\r\n${one}CN = test\r\n${two}`, 'key', '/a'), [one.trim(), two.trim()]);
  for (const text of ['', 'hello', one.slice(0, 300), one + two.slice(0, 300)]) {
    t.throws(() => certificatesOf(text, 'key', '/a'), {
      code: 'BAD_REQUEST',
      message: 'key "/a": it is no file of certificates in PEM',
    });
  }
  const malformed = one + two.replace(/M.../, '!!!!');
  t.throws(() => certificatesOf(malformed, 'key', '/a'), {
    message: 'key "/a": its certificate number 2 is malformed',
  });
});

t.test('a file that cannot be read is refused by its key and path', async (t) => {
  const folder = t.testdir({ file: 'text' });
  t.equal(await readPem('key', join(folder, 'file')), 'text');
  await writeFile(join(folder, 'file'), 'other');
  t.equal(await readPem('key', join(folder, 'file')), 'other');
  const missing = join(folder, 'missing');
  await t.rejects(readPem('key', missing), { message: `key ${JSON.stringify(missing)}: there is no such file` });
  await t.rejects(readPem('key', folder), { code: 'BAD_REQUEST', message: /: it is a folder$/ });
  t.throws(() => refuseFile('key', '/a', 'why'), { code: 'BAD_REQUEST', message: 'key "/a": why' });
});
