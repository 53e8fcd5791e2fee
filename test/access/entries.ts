import t from 'tap';
import { checkEntryName, parseEntries, serializeEntries } from '../../lib/access/entries.js';
import { passwordEntry, tokenEntry } from '../fixtures/access.js';

t.test('what is written is what is read', async (t) => {
  const { entry } = await tokenEntry('ci', { scope: 'write' });
  const entries = [entry, await passwordEntry('anna@example.com', 'correct horse')];
  t.same(parseEntries(serializeEntries(entries)), entries);
  t.same(parseEntries(serializeEntries([])), []);
});

t.test('what is wrong in the file is named, and no salt or hash is quoted', async (t) => {
  const { entry: good } = await tokenEntry('ci');
  const cases: [what: string, change: Record<string, unknown>, says: RegExp][] = [
    ['no name', { name: undefined }, /entries\[0\]: name/],
    ['a colon in the name', { name: 'a:b' }, /entries\[0\]: name/],
    ['an unknown kind', { kind: 'key' }, /kind must be one of token, password/],
    ['an unknown scope', { scope: 'admin' }, /scope must be one of read, write/],
    ['a token without id', { id: undefined }, /id must be/],
    ['a password with an id', { kind: 'password' }, /id must be/],
    ['a short salt', { salt: 'c2VjcmV0' }, /salt must be/],
    ['a hash of another length', { hash: 'c2VjcmV0' }, /hash must be/],
    ['no time', { createdAt: 1 }, /createdAt/],
    ['no cost', { scrypt: null }, /scrypt must be/],
    ['a cost that is no power of two', { scrypt: { N: 3000, r: 8, p: 1 } }, /scrypt must be/],
    ['a cost of next to nothing', { scrypt: { N: 2, r: 8, p: 1 } }, /scrypt must be/],
    ['a cost of 1 GiB', { scrypt: { N: 2 ** 20, r: 8, p: 1 } }, /scrypt must be/],
    ['a cost of a week', { scrypt: { N: 2 ** 14, r: 8, p: 1e9 } }, /scrypt must be/],
  ];
  for (const [what, change, says] of cases) {
    const text = JSON.stringify({ entries: [{ ...good, ...change }] });
    t.throws(() => parseEntries(text), { code: 'BAD_REQUEST', message: says }, what);
    t.throws(() => parseEntries(text), { message: /^(?![^]*c2VjcmV0)/ }, what);
  }
  const texts: [text: string, says: RegExp][] = [
    ['', /^it is not JSON$/],
    [`{"entries": [${JSON.stringify(good)}`, /^it is not JSON$/],
    ['null', /a list "entries"/],
    ['[]', /a list "entries"/],
    ['{"entries": {}}', /a list "entries"/],
    ['{"entries": [1]}', /entries\[0\]: it must be an object/],
  ];
  for (const [text, says] of texts) t.throws(() => parseEntries(text), { code: 'BAD_REQUEST', message: says }, text);
});

t.test('no two entries have one name or one id', async (t) => {
  const { entry } = await tokenEntry('ci');
  const twice = (change: object) => JSON.stringify({ entries: [entry, { ...entry, ...change }] });
  t.throws(() => parseEntries(twice({})), { message: /the name "ci" is there twice/ });
  t.throws(() => parseEntries(twice({ name: 'other' })), { message: /an id is there twice/ });
});

t.test('names are what a header and a list can carry', (t) => {
  for (const name of ['a', 'ci', 'anna@example.com', 'build-1.2_x', 'A'.repeat(64)])
    t.equal(checkEntryName(name), name);
  for (const name of ['', '-rf', '.x', 'a b', 'a:b', 'ä', 'a\n', 'a/b', 'A'.repeat(65), '__proto__']) {
    t.throws(() => checkEntryName(name), { code: 'BAD_REQUEST', message: /letters, digits/ }, JSON.stringify(name));
  }
  t.end();
});
