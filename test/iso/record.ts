import t from 'tap';
import { sectorBytes } from '../../lib/iso/entries.js';
import { readRecord, readRecords } from '../../lib/iso/record.js';
import { field, record, recordedDate } from '../fixtures/iso-builder.js';

function names(folder: Buffer): string[] {
  return [...readRecords(folder)].map(({ identifier }) => identifier.toString());
}

/** Records at the start of as many sectors as there are lists. */
function sectors(...lists: Buffer[][]): Buffer {
  return Buffer.concat(
    lists.map((records) => Buffer.concat([...records, Buffer.alloc(sectorBytes)]).subarray(0, sectorBytes)),
  );
}

t.test('a record gives place, length, flags, time and name of a file', (t) => {
  const fields = field.nm('abc');
  const bytes = record('FILE.TXT;1', {
    block: 1000,
    length: 5000,
    flags: 0x81,
    attributes: 2,
    gap: 3,
    systemUse: fields,
  });
  const found = readRecord(bytes, 0);
  t.match(found, { block: 1002, length: 5000, flags: 0x81, isInterleaved: true, modified: recordedDate.getTime() });
  t.equal(found?.identifier.toString(), 'FILE.TXT;1');
  t.same(bytes.subarray(found?.systemUse, found?.end), fields);
  t.end();
});

t.test('the System Use field begins at an even position', (t) => {
  for (const name of ['A', 'AB', 'ABC', 'ABCD']) {
    const bytes = record(name, { systemUse: field.re() });
    const found = readRecord(bytes, 0);
    t.equal(bytes.toString('latin1', found?.systemUse, (found?.systemUse ?? 0) + 2), 'RE', name);
  }
  t.end();
});

t.test('a record that ends with its name has no System Use field', (t) => {
  const bytes = Buffer.concat([record('AB').subarray(0, 35), Buffer.from('behind')]);
  bytes[0] = 35;
  const found = readRecord(bytes, 0);
  t.equal(found?.systemUse, 35);
  t.equal(found?.end, 35);
  t.end();
});

t.test('a record whose name does not fit is none', (t) => {
  t.equal(readRecord(record('A', { recordLength: 33 }), 0), undefined, 'too short');
  t.equal(readRecord(record('A', { recordLength: 0 }), 0), undefined, 'without length');
  t.equal(readRecord(record('A', { recordLength: 200 }), 0), undefined, 'beyond the bytes');
  t.equal(readRecord(record('AAA', { nameLength: 200 }), 0), undefined, 'name beyond the record');
  t.equal(readRecord(record('AAA', { nameLength: 0 }), 0), undefined, 'no name');
  t.end();
});

t.test('the records of a folder and of its parent are told by their names of one byte', (t) => {
  const found = [
    ...readRecords(sectors([Buffer.from([0]), Buffer.from([1]), 'A', '\0\0'].map((name) => record(name)))),
  ];
  t.same(
    found.map(({ isSelf }) => isSelf),
    [true, false, false, false],
  );
  t.same(
    found.map(({ isParent }) => isParent),
    [false, true, false, false],
  );
  t.end();
});

t.test('records go on in the next sector after the padding', (t) => {
  t.same(names(sectors([record('A'), record('B')], [record('C')], [], [record('D')])), ['A', 'B', 'C', 'D']);
  t.end();
});

t.test('a broken record costs no more than the rest of its sector', (t) => {
  const short = record('SHORT', { recordLength: 20 });
  t.same(names(sectors([record('A'), short, record('B')], [record('C')])), ['A', 'C'], 'too short');
  const wide = record('WIDE', { nameLength: 250 });
  t.same(names(sectors([record('A'), wide, record('B')])), ['A', 'B'], 'a name that does not fit');
  t.end();
});

t.test('no record crosses the end of a sector or of the folder', (t) => {
  const filler = Array.from({ length: 50 }, () => record('FILLER', { recordLength: 40 }));
  const crossing = Buffer.concat([
    ...filler,
    record('CROSSING', { systemUse: Buffer.alloc(60) }),
    Buffer.alloc(sectorBytes),
  ]);
  t.notMatch(names(crossing.subarray(0, 2 * sectorBytes)), ['CROSSING']);
  const cut = Buffer.concat([record('A'), record('CUT')]);
  t.same(names(cut.subarray(0, cut.length - 1)), ['A']);
  t.same(names(Buffer.alloc(0)), []);
  t.same(names(Buffer.alloc(sectorBytes, 0xff)), []);
  t.end();
});
