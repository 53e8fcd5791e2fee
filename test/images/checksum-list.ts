import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { checksumList, digestIn } from '../../lib/images/checksum-list.js';
import { run } from '../fixtures/process.js';
import { Random } from '../fixtures/random.js';

const sha256 = 'a1'.repeat(32);
const sha512 = 'b2'.repeat(64);
const md5 = 'c3'.repeat(16);
const other = 'd4'.repeat(32);

interface Case {
  readonly what: string;
  readonly text: string;
  /** `x.iso` unless said. */
  readonly name?: string;
  readonly digests: ReturnType<typeof digestIn>;
}

const signed = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# x.iso: 1234 bytes
SHA256 (x.iso) = ${sha256}
- -- a line that begins with a dash
-----BEGIN PGP SIGNATURE-----

iQIzBAEBCAAdFiEE
=abcd
-----END PGP SIGNATURE-----
`;

const good: readonly Case[] = [
  { what: 'text mode', text: `${other}  y.iso\n${sha256}  x.iso\n`, digests: { sha256 } },
  { what: 'binary mode', text: `${sha256} *x.iso\n`, digests: { sha256 } },
  { what: 'one space', text: `${md5} x.iso\n`, digests: { md5 } },
  { what: 'SHA512SUMS', text: `${sha512}  x.iso\n`, digests: { sha512 } },
  { what: 'MD5SUMS', text: `${md5}  x.iso\n`, digests: { md5 } },
  { what: 'capitals', text: `${sha256.toUpperCase()}  x.iso\n`, digests: { sha256 } },
  { what: 'no line feed at the end', text: `${sha256}  x.iso`, digests: { sha256 } },
  { what: 'CRLF and a byte order mark', text: `\ufeff${sha256}  x.iso\r\n${other}  y.iso\r\n`, digests: { sha256 } },
  { what: 'BSD form', text: `SHA256 (x.iso) = ${sha256}\nMD5 (y.iso) = ${md5}\n`, digests: { sha256 } },
  { what: 'openssl', text: `SHA2-512(x.iso)= ${sha512}\n`, digests: { sha512 } },
  {
    what: 'several algorithms',
    text: `SHA256 (x.iso) = ${sha256}\nSHA512 (x.iso) = ${sha512}\nMD5 (x.iso) = ${md5}`,
    digests: { sha256, sha512, md5 },
  },
  {
    what: 'algorithms whose digests are as long',
    text: `SHA512/256 (x.iso) = ${other}\nSHA3-256 (x.iso) = ${other}\nBLAKE2b (x.iso) = ${sha512}\nSHA256 (x.iso) = ${sha256}\n`,
    digests: { sha256 },
  },
  {
    what: 'algorithms that nobody asks for',
    text: `${'e'.repeat(40)}  x.iso\n${'f'.repeat(96)}  x.iso\n${sha256}  x.iso`,
    digests: { sha256 },
  },
  { what: 'a clear signature', text: signed, digests: { sha256 } },
  { what: 'CRLF and a clear signature', text: signed.replaceAll('\n', '\r\n'), digests: { sha256 } },
  { what: './', text: `${sha256}  ./x.iso\n${other}  ./y.iso\n`, digests: { sha256 } },
  { what: 'a folder', text: `${sha256}  images/amd64/x.iso\n${other}  images/xx.iso\n`, digests: { sha256 } },
  { what: 'a folder in BSD form', text: `SHA256 (./images/x.iso) = ${sha256}\n`, digests: { sha256 } },
  {
    what: 'the same name in folders and without',
    text: `${other}  old/x.iso\n${sha256}  ./x.iso\n${other}  new/x.iso\n`,
    digests: { sha256 },
  },
  { what: 'a file twice', text: `${sha256}  a/x.iso\n${sha256.toUpperCase()}  b/x.iso\n`, digests: { sha256 } },
  { what: 'a name with spaces', text: `${sha256}   a  b `, name: ' a  b ', digests: { sha256 } },
  { what: 'a name with a star', text: `${sha256} **.iso`, name: '*.iso', digests: { sha256 } },
  { what: 'a name with brackets', text: `MD5 (a) = (b) = ${md5}`, name: 'a) = (b', digests: { md5 } },
  { what: 'a name that is escaped', text: `\\${sha256}  a\\\\b\\nc\\rd`, name: 'a\\b\nc\rd', digests: { sha256 } },
  {
    what: 'a name that is escaped in BSD form',
    text: `\\SHA256 (a\\\\b) = ${sha256}`,
    name: 'a\\b',
    digests: { sha256 },
  },
  { what: 'a backslash that escapes nothing', text: `${sha256}  a\\nb`, name: 'a\\nb', digests: { sha256 } },
  { what: 'a name of Object', text: `${sha256}  constructor`, name: 'constructor', digests: { sha256 } },
];

for (const { what, text, name = 'x.iso', digests } of good) {
  t.test(`a digest is found in a list with ${what}`, (t) => {
    t.same(digestIn(text, name), digests);
    t.end();
  });
}

const missing: readonly (readonly [what: string, text: string, name?: string])[] = [
  ['that is empty', ''],
  ['of other files', `${sha256}  y.iso\n${sha256}  x.iso.torrent\n${sha256}  xx.iso\n`],
  ['of a file that differs by case', `${sha256}  X.ISO\n`],
  ['that is a page of HTML', `<html><body>404 x.iso ${sha256}  x.iso</body></html>`],
  ['with digests of another length only', `${'e'.repeat(40)}  x.iso\n${sha256}0  x.iso\n`],
  ['with another algorithm only', `SHA3-256 (x.iso) = ${sha256}\n`],
  ['with a label that is not the length', `SHA512 (x.iso) = ${sha256}\n`],
  ['that is indented', ` ${sha256}  x.iso\n`],
  ['with a malformed escape', `\\${sha256}  a\\tb\n`, 'a\\tb'],
  ['of a folder with that name', `${sha256}  x.iso/y\n`],
];

for (const [what, text, name = 'x.iso'] of missing) {
  t.test(`in a list ${what} there is no digest`, (t) => {
    t.throws(() => digestIn(text, name), { code: 'BAD_GATEWAY', message: /has no sha256, sha512 or md5 of "/ });
    t.end();
  });
}

t.test('a list that contradicts itself about a file is refused', (t) => {
  const contradicting = [
    `${sha256}  x.iso\n${other}  x.iso\n`,
    `${sha256}  x.iso\nSHA256 (./x.iso) = ${other}\n`,
    `${sha256}  a/x.iso\n${other}  b/x.iso\n`,
  ];
  for (const text of contradicting) {
    t.throws(() => digestIn(text, 'x.iso'), {
      code: 'BAD_GATEWAY',
      message: /different values of sha256 for "x.iso"$/,
    });
  }
  t.same(digestIn(`${other}  y.iso\n${sha256}  y.iso\n${sha256}  x.iso`, 'x.iso'), { sha256 }, 'but only about it');
  t.end();
});

t.test('every file of a list is found in it', (t) => {
  const random = new Random(1);
  for (let run = 0; run < 200; run++) {
    const names = new Set(Array.from({ length: 1 + random.below(6) }, () => `${random.text('ab \\\n\r*()=ü', 8)}.iso`));
    const files = [...names].map((name) => ({ name, sha256: createHash('sha256').update(name).digest('hex') }));
    const list = checksumList(files);
    for (const { name, sha256 } of files) t.same(digestIn(list, name), { sha256 }, JSON.stringify(name));
  }
  t.end();
});

t.test('sha256sum checks our lists, and we understand its own', async (t) => {
  const folder = t.testdir();
  const names = ['x.iso', 'with space', 'back\\slash', 'line\nfeed', 'return\rto', '*star', '(brackets)', '-dash', 'ü'];
  const files = names.map((name) => ({ name, sha256: createHash('sha256').update(name).digest('hex') }));
  for (const { name } of files) await writeFile(join(folder, name), name);
  const list = checksumList(files);
  const checked = await run('sha256sum', ['--check', '--strict', '--quiet', '-'], { cwd: folder, input: list });
  t.same([checked.code, checked.stdout, checked.stderr], [0, '', '']);
  const own = await run('sha256sum', ['--', ...names], { cwd: folder });
  t.equal(own.stdout, list, 'to the byte');
  const tagged = await run('sha256sum', ['--tag', '--', ...names], { cwd: folder });
  for (const { name, sha256 } of files) t.same(digestIn(tagged.stdout, name), { sha256 }, JSON.stringify(name));
});

t.test('a list has no line for a file whose digest is not known yet', (t) => {
  const files = [
    { name: 'x', sha256 },
    { name: 'y', sha256: undefined },
  ];
  t.equal(checksumList(files), `${sha256}  x\n`);
  t.equal(checksumList([]), '');
  t.end();
});

t.test('a list of a mebibyte is read as fast as a short one', (t) => {
  for (const piece of [`${sha256}  y.iso\n`, 'SHA256 (', ') = ', `${sha256} `, '\\', '\r', '(x.iso) = ']) {
    t.throws(() => digestIn(piece.repeat(2 ** 20 / piece.length), 'x.iso'), { code: 'BAD_GATEWAY' }, piece);
  }
  t.end();
});
