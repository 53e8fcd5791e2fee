import t from 'tap';
import { type FileIdentifier, readIdentifiers } from '../../../lib/iso/udf/identifiers.js';
import { tags } from '../../../lib/iso/udf/tag.js';
import { identifier } from '../../fixtures/udf-builder.js';

/** The names in a folder's data, without their compression byte. */
function namesIn(data: Buffer): string[] {
  const isFound = (one: FileIdentifier | undefined): one is FileIdentifier => one !== undefined;
  const found = [...readIdentifiers(data)].filter(isFound);
  return found.map(({ nameFrom, nameTo }) => data.toString('latin1', nameFrom + 1, nameTo));
}

t.test('an identifier has a name, a place and characteristics', (t) => {
  const use = Buffer.from('use!');
  const data = Buffer.concat([
    identifier('a', 7),
    identifier('file b', 0xfffffffe, { partition: 2, characteristics: 5, use }),
    identifier('c', 9),
  ]);
  const [first, second, third] = readIdentifiers(data);
  t.match(first, { characteristics: 0, icb: { partition: 0, block: 7 } });
  t.match(second, { characteristics: 5, icb: { partition: 2, block: 0xfffffffe } });
  t.match(third, { icb: { block: 9 } });
  t.same(namesIn(data), ['a', 'file b', 'c']);
  t.end();
});

t.test('a name may be empty, or 255 bytes long', (t) => {
  const names = ['', 'n'.repeat(254)];
  t.same(namesIn(Buffer.concat(names.map((name) => identifier(name, 1)))), names);
  t.end();
});

t.test('behind what is no identifier the next one is found', (t) => {
  const good = [identifier('a', 1), identifier('b', 2)] as const;
  const broken = [
    identifier('x', 3, { checksum: 0 }),
    identifier('x', 3, { version: 7 }),
    identifier('x', 3, { tag: tags.fileEntry }),
    Buffer.alloc(2048),
    Buffer.alloc(64, 0xff),
    Buffer.alloc(200_000),
  ];
  for (const bytes of broken) t.same(namesIn(Buffer.concat([good[0], bytes, good[1]])), ['a', 'b']);
  t.end();
});

t.test('an identifier that leaves the folder is none, and hides no other', (t) => {
  const [a, b] = [identifier('a', 1), identifier('b', 2)];
  const long = identifier('x', 3, { nameLength: 255 });
  t.same(namesIn(Buffer.concat([a, long, b])), ['a', 'b']);
  const wide = identifier('x', 3);
  wide.writeUInt16LE(0xffff, 36);
  t.same(namesIn(Buffer.concat([a, wide, b])), ['a', 'b']);
  t.same(namesIn(Buffer.concat([a, b]).subarray(0, a.length + 37)), ['a'], 'cut off');
  t.same(namesIn(Buffer.alloc(0)), []);
  t.same(namesIn(identifier('abc', 1).subarray(0, 42)), ['abc'], 'padding may be missing at the end');
  t.end();
});

t.test('the reader hears of a long search, whatever it leads through', (t) => {
  for (const bytes of [[0], [1], [1, 0], [0, 1, 1, 0]]) {
    const found = [...readIdentifiers(Buffer.alloc(2 ** 20, Buffer.from(bytes)))];
    t.ok(found.length >= 15 && found.length <= 17, `${bytes.join(' ')}: ${found.length} times`);
    t.ok(found.every((one) => one === undefined));
  }
  t.end();
});

t.test('an identifier behind a long search is found wherever it is', (t) => {
  for (let at = 65_400; at < 65_600; at += 4) {
    t.same(namesIn(Buffer.concat([Buffer.alloc(at), identifier('a', 1)])), ['a'], `at ${at}`);
  }
  t.end();
});

t.test('what does not begin in a piece is left to the next one', (t) => {
  const data = Buffer.concat(['a', 'b', 'c'].map((name) => identifier(name, 1)));
  const pieces: [to: number, names: number, next: number][] = [
    [1, 1, 40],
    [40, 1, 40],
    [41, 2, 80],
    [120, 3, 120],
  ];
  for (const [to, names, next] of pieces) {
    const reading = readIdentifiers(data, to);
    for (let found = 0; found < names; found++) t.equal(reading.next().done, false);
    t.same(reading.next(), { done: true, value: next }, `to ${to}`);
  }
  t.same(readIdentifiers(Buffer.alloc(8), 8).next(), { done: true, value: 8 }, 'too short for any');
  t.end();
});
