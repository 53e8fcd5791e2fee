import t from 'tap';
import { digitsTime, recordTime, timestamp } from '../../lib/iso/times.js';

function seven(...bytes: number[]): Buffer {
  return Buffer.from(bytes);
}

function seventeen(digits: string, zone = 0): Buffer {
  return Buffer.concat([Buffer.from(digits), Buffer.from([zone & 0xff])]);
}

function iso(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString();
}

t.test('the time of a directory record, with its time zone', (t) => {
  const cases: [bytes: Buffer, expected: string | undefined][] = [
    [seven(114, 4, 17, 10, 20, 30, 0), '2014-04-17T10:20:30.000Z'],
    [seven(114, 4, 17, 10, 20, 30, 8), '2014-04-17T08:20:30.000Z'],
    [seven(114, 4, 17, 10, 20, 30, 0xec), '2014-04-17T15:20:30.000Z'],
    [seven(114, 4, 17, 10, 20, 30, 52), '2014-04-16T21:20:30.000Z'],
    [seven(114, 4, 17, 10, 20, 30, 53), '2014-04-17T10:20:30.000Z'],
    [seven(114, 4, 17, 10, 20, 30, 0x80), '2014-04-17T10:20:30.000Z'],
    [seven(0, 1, 1, 0, 0, 0, 0), '1900-01-01T00:00:00.000Z'],
    [seven(255, 12, 31, 23, 59, 59, 0), '2155-12-31T23:59:59.000Z'],
    [seven(0, 0, 0, 0, 0, 0, 0), undefined],
    [seven(114, 13, 1, 0, 0, 0, 0), undefined],
    [seven(114, 1, 0, 0, 0, 0, 0), undefined],
    [seven(114, 1, 32, 0, 0, 0, 0), undefined],
    [seven(114, 1, 1, 24, 0, 0, 0), undefined],
    [seven(114, 1, 1, 0, 60, 0, 0), undefined],
    [seven(114, 1, 1, 0, 0, 60, 0), undefined],
    [seven(255, 255, 255, 255, 255, 255, 255), undefined],
  ];
  for (const [bytes, expected] of cases) t.equal(iso(recordTime(bytes, 0)), expected, bytes.toString('hex'));
  t.equal(iso(recordTime(seven(9, 9, 114, 4, 17, 10, 20, 30, 0), 2)), '2014-04-17T10:20:30.000Z', 'not from the start');
  t.end();
});

t.test('a time in digits, with its time zone', (t) => {
  const cases: [bytes: Buffer, expected: string | undefined][] = [
    [seventeen('2014041710203045'), '2014-04-17T10:20:30.450Z'],
    [seventeen('2014041710203045', -4), '2014-04-17T11:20:30.450Z'],
    [seventeen('0100010100000000'), '0100-01-01T00:00:00.000Z'],
    [seventeen('0099010100000000'), undefined],
    [seventeen('9999123123595999'), '9999-12-31T23:59:59.990Z'],
    [seventeen('9999123123595999', -4), undefined],
    [seventeen('0000000000000000'), undefined],
    [seventeen('2014131710203045'), undefined],
    [seventeen('20140417102030 5'), undefined],
    [seventeen('-014041710203045'), undefined],
    [Buffer.alloc(17), undefined],
  ];
  for (const [bytes, expected] of cases) t.equal(iso(digitsTime(bytes, 0)), expected, bytes.toString('hex'));
  t.end();
});

/** A timestamp of UDF; the zone is in minutes. */
function twelve(kind: number, zone: number, year: number, rest: readonly number[]): Buffer {
  const bytes = Buffer.from([0, 0, 0, 0, ...rest]);
  bytes.writeUInt16LE((kind << 12) | (zone & 0xfff), 0);
  bytes.writeInt16LE(year, 2);
  return bytes;
}

t.test('a timestamp of UDF, with its time zone', (t) => {
  const spring = [4, 17, 10, 20, 30, 45, 67, 89];
  const cases: [bytes: Buffer, expected: string | undefined][] = [
    [twelve(1, 0, 2014, spring), '2014-04-17T10:20:30.456Z'],
    [twelve(1, 120, 2014, spring), '2014-04-17T08:20:30.456Z'],
    [twelve(1, -210, 2014, spring), '2014-04-17T13:50:30.456Z'],
    [twelve(1, 1440, 2014, spring), '2014-04-16T10:20:30.456Z'],
    [twelve(1, 1441, 2014, spring), '2014-04-17T10:20:30.456Z'],
    [twelve(1, -2047, 2014, spring), '2014-04-17T10:20:30.456Z'],
    [twelve(0, 120, 2014, spring), '2014-04-17T10:20:30.456Z'],
    [twelve(2, 120, 2014, spring), '2014-04-17T10:20:30.456Z'],
    [twelve(1, 0, 2014, [4, 17, 10, 20, 30, 100, 0, 0]), '2014-04-17T10:20:30.000Z'],
    [twelve(1, 0, 2014, [4, 17, 10, 20, 30, 45, 100, 0]), '2014-04-17T10:20:30.000Z'],
    [twelve(1, 0, 2014, [13, 17, 10, 20, 30, 0, 0, 0]), undefined],
    [twelve(1, 0, 2014, [4, 0, 10, 20, 30, 0, 0, 0]), undefined],
    [twelve(1, 0, 2014, [4, 17, 10, 20, 60, 0, 0, 0]), undefined],
    [twelve(1, 0, 9999, [12, 31, 23, 59, 59, 0, 0, 0]), '9999-12-31T23:59:59.000Z'],
    [twelve(1, -60, 9999, [12, 31, 23, 59, 59, 0, 0, 0]), undefined],
    [twelve(1, 0, 10_000, spring), undefined],
    [twelve(1, 0, -2014, spring), undefined],
    [Buffer.alloc(12), undefined],
  ];
  for (const [bytes, expected] of cases) t.equal(iso(timestamp(bytes, 0)), expected, bytes.toString('hex'));
  t.end();
});
