import t from 'tap';
import { formatToken, hashSecret, isSecretOf, makeToken, parseToken, systemScrypt } from '../../lib/access/secrets.js';

t.test('a token has an id and a secret of 32 random bytes, and none is like another', (t) => {
  const tokens = Array.from({ length: 100 }, makeToken);
  for (const token of tokens) t.same(parseToken(formatToken(token)), token);
  t.match(formatToken(tokens[0] ?? makeToken()), /^image-service_[\w-]{12}_[\w-]{43}$/);
  t.equal(Buffer.from(tokens[0]?.secret ?? '', 'base64url').length, 32);
  t.equal(new Set(tokens.flatMap(({ id, secret }) => [id, secret])).size, 200);
  t.end();
});

t.test('what is none of our tokens is none', (t) => {
  const token = formatToken(makeToken());
  for (const text of ['', 'abc', token.slice(0, -1), `${token}a`, ` ${token}`, token.replace('image', 'Image')]) {
    t.equal(parseToken(text), undefined, text);
  }
  t.end();
});

t.test('a secret is recognized by its hash alone, and a salt makes each hash another one', async (t) => {
  for (const kind of ['token', 'password'] as const) {
    const [one, other] = [await hashSecret('correct horse', kind), await hashSecret('correct horse', kind)];
    t.not(one.hash, other.hash);
    t.equal(await isSecretOf(one, 'correct horse', systemScrypt), true);
    t.equal(await isSecretOf(one, 'correct horsf', systemScrypt), false);
    t.equal(await isSecretOf({ ...one, salt: other.salt }, 'correct horse', systemScrypt), false);
  }
});

t.test('scrypt is the scrypt of RFC 7914', async (t) => {
  // RFC 7914 12, the third vector; scrypt's last step (PBKDF2) makes the first 32 bytes of 64 the same as 32 alone.
  const hash = await systemScrypt('pleaseletmein', Buffer.from('SodiumChloride'), { N: 16384, r: 8, p: 1 });
  t.equal(hash.toString('hex'), '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2');
  const largest = await systemScrypt('x', Buffer.from('salt'), { N: 2 ** 17, r: 8, p: 1 });
  t.equal(largest.length, 32, 'and the largest that a file may ask for is possible');
});
