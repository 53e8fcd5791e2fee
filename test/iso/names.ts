import t from 'tap';
import {
  decodeText,
  decodeUtf16,
  findNul,
  hasControls,
  isServable,
  jolietName,
  plainName,
  withoutControls,
} from '../../lib/iso/names.js';
import { ucs2 } from '../fixtures/iso-builder.js';

t.test('a plain name is shown as Linux shows it', (t) => {
  const cases: [stored: string, shown: string][] = [
    ['BOOT.CFG;1', 'boot.cfg'],
    ['README.;1', 'readme'],
    ['README.', 'readme.'],
    ['README;1', 'readme'],
    ['A.B;2', 'a.b.2'],
    ['A;1;1', 'a.1'],
    ['A.;1;1', 'a..1'],
    ['A.B;1.', 'a.b.1.'],
    ['A/B', 'a.b'],
    ['A;B', 'a.b'],
    ['A_B-C', 'a_b-c'],
    ['Mixed.Case', 'mixed.case'],
    ['AB\0CD;1', 'ab'],
    ['ÄÖ.TXT;1', 'ÄÖ.txt'],
    [';1', ''],
    ['.;1', ''],
    ['', ''],
  ];
  for (const [stored, shown] of cases) t.equal(plainName(Buffer.from(stored)), shown, JSON.stringify(stored));
  t.end();
});

t.test('a Joliet name is shown as Linux shows it', (t) => {
  const cases: [stored: string, shown: string][] = [
    ['Read Me.txt;1', 'Read Me.txt'],
    ['Read Me.txt', 'Read Me.txt'],
    ['dots...', 'dots'],
    ['dots..;1', 'dots'],
    ['dots.;1.', 'dots.;1'],
    ['a;2', 'a;2'],
    ['naïve ☃', 'naïve ☃'],
    ['\u{1f600}.iso', '\u{1f600}.iso'],
    ['nul\0behind', 'nul'],
    ['back\\slash', 'back\\slash'],
    [';1', ';1'],
    ['...', '.'],
    ['', ''],
  ];
  for (const [stored, shown] of cases) t.equal(jolietName(ucs2(stored)), shown, JSON.stringify(stored));
  t.end();
});

t.test('half a character of Joliet is left out, so that every name fits into a URL', (t) => {
  t.equal(jolietName(Buffer.from([0xd8, 0x3d, 0, 0x61])), 'a', 'high surrogate alone');
  t.equal(jolietName(Buffer.from([0, 0x61, 0xde, 0x00])), 'a', 'low surrogate alone');
  t.equal(jolietName(Buffer.from([0xde, 0x00, 0xd8, 0x3d])), '', 'a pair the wrong way round');
  t.equal(jolietName(Buffer.from([0, 0x61, 0])), 'a', 'an odd byte at the end');
  t.doesNotThrow(() => encodeURIComponent(decodeUtf16(Buffer.from([0xd8, 0, 0xd8, 0, 0xdc, 0]))));
  t.end();
});

t.test('text is UTF-8, and where it is not, every byte is a character of its own', (t) => {
  t.equal(decodeText(Buffer.from('naïve ☃ \u{1f600}')), 'naïve ☃ \u{1f600}');
  t.equal(decodeText(Buffer.from('\ufffd')), '\ufffd', 'the replacement character itself is valid');
  t.equal(decodeText(Buffer.from([0x63, 0x61, 0x66, 0xe9])), 'café');
  t.equal(decodeText(Buffer.from([0xed, 0xa0, 0x80])), 'í\u00a0\u0080', 'a surrogate in UTF-8');
  t.equal(decodeText(Buffer.from([0xc0, 0xaf])), 'À¯', 'an overlong slash is no slash');
  const names = Array.from({ length: 256 }, (_, byte) => decodeText(Buffer.from([0xff, byte])));
  t.equal(new Set(names).size, 256, 'no two of them become one');
  t.end();
});

t.test('a name ends at its first NUL', (t) => {
  t.equal(findNul(Buffer.from('a\0b\0c')), 1);
  t.equal(findNul(Buffer.from('abc')), 3);
  t.equal(findNul(Buffer.from('\0')), 0);
  t.equal(findNul(Buffer.from('a\0b\0c'), 2), 3);
  t.equal(findNul(Buffer.from('a\0b\0c'), 2, 3), 3);
  t.equal(decodeText(Buffer.from('a\0b\0c'), 2, 3), 'b');
  t.equal(decodeText(Buffer.from([0xff, 0xc3, 0xbc, 0xff]), 1, 3), 'ü', 'only the bytes in question decide');
  t.end();
});

t.test('only what can be one segment of a path is a name', (t) => {
  for (const name of ['a', '...', '.a', 'a b', 'a\\b', '%2e', 'ü', '\u{1f600}', ';1', '-rf'])
    t.ok(isServable(name), JSON.stringify(name));
  for (const name of ['', '.', '..', '/', 'a/b', '\0', 'a\nb', 'a\r', '\u001b[2J', '\u007f'])
    t.notOk(isServable(name), JSON.stringify(name));
  t.end();
});

t.test('control characters are found, and can be left out', (t) => {
  t.ok(hasControls('a\tb'));
  t.notOk(hasControls('a b/ü'));
  t.equal(withoutControls('a\0b\u001b\u007fc'), 'abc');
  t.end();
});
