import t, { type Test } from 'tap';
import { type ByteRange, parseRange } from '../../lib/http/range.js';
import { Random } from '../fixtures/random.js';

type Expected = 'whole' | 'unsatisfiable' | [start: number, end: number][];

function check(t: Test, size: number, header: string | undefined, expected: Expected): void {
  const wanted =
    typeof expected === 'string'
      ? { kind: expected }
      : { kind: 'ranges', ranges: expected.map(([start, end]) => ({ start, end })) };
  t.same(parseRange(header, size), wanted, `${String(header).slice(0, 60)} of ${size} bytes`);
}

const huge = '9'.repeat(400);

t.test('one range of a file', (t) => {
  const cases: [header: string, expected: Expected][] = [
    ['bytes=0-0', [[0, 0]]],
    ['bytes=0-99', [[0, 99]]],
    ['bytes=99-99', [[99, 99]]],
    ['bytes=10-', [[10, 99]]],
    ['bytes=0-', [[0, 99]]],
    ['bytes=-1', [[99, 99]]],
    ['bytes=-10', [[90, 99]]],
    ['bytes=-100', [[0, 99]]],
    ['bytes=-101', [[0, 99]]],
    ['bytes=50-100', [[50, 99]]],
    ['bytes=50-18446744073709551616', [[50, 99]]],
    [`bytes=50-${huge}`, [[50, 99]]],
    [`bytes=-${huge}`, [[0, 99]]],
    ['bytes=007-0009', [[7, 9]]],
    ['BYTES=1-2', [[1, 2]]],
    ['Bytes=1-2', [[1, 2]]],
    ['bytes= 1-2\t', [[1, 2]]],
  ];
  for (const [header, expected] of cases) check(t, 100, header, expected);
  t.end();
});

t.test('a range that the file does not have is a 416', (t) => {
  for (const header of ['bytes=100-', 'bytes=100-200', 'bytes=-0', `bytes=${huge}-`, `bytes=${huge}-${huge}9`]) {
    check(t, 100, header, 'unsatisfiable');
  }
  t.end();
});

t.test('bad syntax after bytes= is a 416, and never a part of the file', (t) => {
  const specs = [
    '',
    ' ',
    ',',
    '-',
    'a-b',
    '5-4',
    '10-1',
    `${huge}9-${huge}`,
    '--5',
    '-1-2',
    '+1-2',
    '1-+2',
    '0x1-2',
    '1e0-2',
    '1.0-2',
    '1 - 2',
    '1',
    '1-2-3',
    '1-2 3-4',
    '1-2;3-4',
    '0-1,5-4',
    '0-1,x',
    '٣-٤',
  ];
  for (const spec of specs) check(t, 100, `bytes=${spec}`, 'unsatisfiable');
  t.end();
});

t.test('no range, another unit and an empty file are answered with the whole', (t) => {
  for (const header of [
    undefined,
    '',
    'bytes',
    'bytes 0-1',
    'bytes =0-1',
    'items=0-1',
    'seconds=x',
    '=0-1',
    'xbytes=0-1',
  ]) {
    check(t, 100, header, 'whole');
  }
  for (const header of [undefined, 'bytes=0-0', 'bytes=-1', 'bytes=0-', 'bytes=5-4']) check(t, 0, header, 'whole');
  t.end();
});

t.test('several ranges come in the order of the request, without those that the file does not have', (t) => {
  const cases: [header: string, expected: Expected][] = [
    ['bytes=0-0,-1', [[0, 0], [99, 99]]], // prettier-ignore
    ['bytes=90-94,0-4', [[90, 94], [0, 4]]], // prettier-ignore
    ['bytes=0-4 , 10-14\t,20-', [[0, 4], [10, 14], [20, 99]]], // prettier-ignore
    ['bytes=,0-4,,10-14,', [[0, 4], [10, 14]]], // prettier-ignore
    ['bytes=0-4,100-,200-300,-0', [[0, 4]]],
    ['bytes=100-,200-', 'unsatisfiable'],
    ['bytes=0-49,50-99', [[0, 49], [50, 99]]], // prettier-ignore
  ];
  for (const [header, expected] of cases) check(t, 100, header, expected);
  t.end();
});

t.test('ranges that would cost more than the file are answered with the whole', (t) => {
  check(t, 100, 'bytes=0-,1-,2-,3-,4-', 'whole');
  check(t, 100, 'bytes=0-50,50-99', 'whole');
  const singles = (count: number) => `bytes=${Array.from({ length: count }, (_, index) => `${index}-${index}`).join()}`;
  const size = 1_000_000;
  t.match(parseRange(singles(64), size), { kind: 'ranges', ranges: { length: 64 } });
  t.same(parseRange(singles(65), size), { kind: 'whole' });
  t.match(parseRange(`${singles(64)},${size}-`, size), { kind: 'ranges', ranges: { length: 64 } });
  t.match(parseRange(singles(16), 100), { kind: 'ranges', ranges: { length: 16 } }, 'room for the boundaries of 16');
  t.same(parseRange(singles(17), 100), { kind: 'whole' }, 'none for those of 17');
  t.end();
});

t.test('positions beyond 4 GiB are exact', (t) => {
  const size = 2 ** 53 - 1;
  check(t, size, 'bytes=4294967296-4294967297', [[4_294_967_296, 4_294_967_297]]);
  check(t, size, `bytes=${size - 1}-`, [[size - 1, size - 1]]);
  check(t, size, `bytes=${size}-`, 'unsatisfiable');
  check(t, size, 'bytes=-1', [[size - 1, size - 1]]);
  t.end();
});

t.test('whatever is asked for, a range lies inside the file and all of them are no more than it', (t) => {
  const random = new Random(3);
  const seen = new Set<string>();
  const isInside = (size: number) => (range: ByteRange) => {
    return 0 <= range.start && range.start <= range.end && range.end < size;
  };
  for (let run = 0; run < 20_000; run++) {
    const size = random.below(30);
    const header = `bytes=${random.text('0123456789---,, ', 9)}`;
    const request = parseRange(header, size);
    seen.add(request.kind);
    if (request.kind !== 'ranges') continue;
    const sum = request.ranges.reduce((bytes, { start, end }) => bytes + end - start + 1, 0);
    if (!request.ranges.every(isInside(size)) || sum > size) t.fail(`${header} of ${size} bytes`);
  }
  t.equal(seen.size, 3, 'all three answers were seen');
  t.end();
});

t.test('a header of many blanks or many digits costs no time', (t) => {
  t.same(parseRange(`bytes=0-1${' '.repeat(200_000)}x`, 100), { kind: 'unsatisfiable' });
  t.same(parseRange(`bytes=${'1'.repeat(200_000)}-`, 100), { kind: 'unsatisfiable' });
  t.same(parseRange(`bytes=${',0-0'.repeat(50_000)}`, 100), { kind: 'whole' });
  t.end();
});
