import t from 'tap';
import { decodeCs0, decodeField, decodeName } from '../../../lib/iso/udf/text.js';
import { cs0, textField } from '../../fixtures/udf-builder.js';

function name(bytes: Buffer): string | undefined {
  return decodeName(bytes, 0, bytes.length);
}

t.test('text has 8 or 16 bits for a character', (t) => {
  const text = (...bytes: number[]) => decodeCs0(Buffer.from(bytes), 0, bytes.length);
  t.equal(text(8, 0x41, 0xe9), 'Aé');
  t.equal(text(16, 0x26, 0x03, 0, 0x41), '☃A');
  t.equal(text(8), '');
  t.equal(text(16), '');
  t.equal(decodeCs0(Buffer.from('..\u0008AB..'), 2, 5), 'AB', 'of some of the bytes');
  t.end();
});

t.test('what is no text is none: other compressions, deleted names, half a character', (t) => {
  for (const bytes of [[], [0], [7, 65], [9, 65], [16, 65], [16, 0, 65, 0], [32, 0, 65], [254, 65], [255, 0, 65]]) {
    t.equal(name(Buffer.from(bytes)), undefined, JSON.stringify(bytes));
  }
  t.end();
});

t.test('a field of fixed length ends with the length of its text', (t) => {
  const decode = (field: Buffer) => decodeField(field, 0, field.length);
  t.equal(decode(textField('My Disc', 32)), 'My Disc');
  t.equal(decode(textField('Grüße ☃', 32)), 'Grüße ☃');
  t.equal(decode(textField(' a\0b\n ', 32)), 'ab', 'without control characters and outer spaces');
  t.equal(decode(Buffer.alloc(32)), '');
  const long = textField('abc', 32);
  long[31] = 32;
  t.equal(decode(long), '', 'a length that leaves the field');
  t.equal(decode(textField('\ud800x', 32)), 'x', 'half a character');
  t.end();
});

t.test('a name is shown as Linux shows it', (t) => {
  const cases: [stored: string, shown: string][] = [
    ['a.txt', 'a.txt'],
    ['A B;1', 'A B;1'],
    ['ünï ☃', 'ünï ☃'],
    ['\u{1f600}', '\u{1f600}'],
    ['back\\slash', 'back\\slash'],
    ['...', '...'],
    ['.txt', '.txt'],
    ['n'.repeat(254), 'n'.repeat(254)],
    [`${'漢'.repeat(82)}.longer`, `${'漢'.repeat(82)}.longer`],
  ];
  for (const [stored, shown] of cases) t.equal(name(cs0(stored)), shown, stored);
  t.end();
});

t.test('what no name can have becomes a mark, so that no two such names become one', (t) => {
  const shapes: [stored: string, shape: RegExp][] = [
    ['a/b', /^a_b#[0-9A-F]{4}$/],
    ['a/b.txt', /^a_b#[0-9A-F]{4}\.txt$/],
    ['a//\0b.c.txt', /^a_b\.c#[0-9A-F]{4}\.txt$/],
    ['/', /^_#[0-9A-F]{4}$/],
    ['\ud800.x', /^_#[0-9A-F]{4}\.x$/],
    ['.', /^\.#[0-9A-F]{4}$/],
    ['..', /^\.\.#[0-9A-F]{4}$/],
    ['a/b.longer', /^a_b\.longer#[0-9A-F]{4}$/],
    ['a/b.', /^a_b\.#[0-9A-F]{4}$/],
    ['a.//x', /^a#[0-9A-F]{4}\._x$/],
    ['a.////x', /^a\._x#[0-9A-F]{4}$/],
    ['..txt', /^\.#[0-9A-F]{4}\.txt$/],
    ['...txt', /^\.\.#[0-9A-F]{4}\.txt$/],
  ];
  for (const [stored, shape] of shapes) t.match(name(cs0(stored)), shape, JSON.stringify(stored));
  const all = ['a/b', 'a//b', 'a\0b', 'a_b'].map((stored) => name(cs0(stored)));
  t.equal(new Set(all).size, all.length);
  t.end();
});

t.test('a name of more than 254 bytes is cut before its mark and its extension, as in Linux', (t) => {
  const cases: [stored: string, shown: string][] = [
    [`${'漢'.repeat(120)}.txt`, `${'漢'.repeat(81)}#4D47.txt`],
    ['漢'.repeat(120), `${'漢'.repeat(83)}#A5F9`],
    [`${'漢'.repeat(100)}.日本語字`, `${'漢'.repeat(78)}#E138.日本語字`],
    [`${'漢'.repeat(83)}/.txt`, `${'漢'.repeat(81)}#37B1.txt`],
    [`x${'漢'.repeat(90)}.txt`, `x${'漢'.repeat(81)}#1784.txt`],
    ['é'.repeat(254), `${'é'.repeat(124)}#BE1E`],
    [`${'é'.repeat(200)}.a/b`, `${'é'.repeat(122)}#0B69.a_b`],
  ];
  for (const [stored, shown] of cases) t.equal(name(cs0(stored)), shown, `${stored.slice(-8)} of ${stored.length}`);
  t.end();
});
