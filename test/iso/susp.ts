import t from 'tap';
import { sectorBytes } from '../../lib/iso/entries.js';
import { Continuations, type FieldReader, readFields } from '../../lib/iso/susp.js';
import { Budget } from '../../lib/iso/budget.js';
import { field } from '../fixtures/iso-builder.js';
import { readerOf } from '../fixtures/iso-volume.js';

/** Writes down the fields that it gets. */
class Recorder implements FieldReader {
  readonly seen: string[] = [];

  field(name: number, _bytes: Buffer, at: number, end: number): void {
    this.seen.push(`${String.fromCharCode(name >> 8, name & 0xff)}${end - at}`);
  }
}

function read(...parts: Buffer[]): { seen: string[]; next: unknown } {
  const recorder = new Recorder();
  const bytes = Buffer.concat([Buffer.from('before'), ...parts, Buffer.from('NM\u0005\u0001\0')]);
  const next = readFields(bytes, 6, bytes.length - 5, recorder);
  return { seen: recorder.seen, next };
}

/** Follows a continuation into an image that has these areas, by sector. */
async function follow(first: [block: number, offset: number, length: number], areas: Record<number, Buffer>) {
  const image = Buffer.alloc(64 * sectorBytes);
  for (const [sector, bytes] of Object.entries(areas)) bytes.copy(image, Number(sector) * sectorBytes);
  const reads: number[] = [];
  const reader = readerOf(image);
  const countingRead = (offset: number, length: number) => {
    reads.push(offset / sectorBytes);
    return reader(offset, length);
  };
  const recorder = new Recorder();
  const continuations = new Continuations(countingRead, image.length, sectorBytes, new Budget());
  const [block, offset, length] = first;
  const isGood = await continuations.follow({ block, offset, length }, recorder);
  return { isGood, seen: recorder.seen, reads };
}

t.test('the fields of an area come in order', (t) => {
  t.same(read(field.px(0o100644), field.nm('abc'), field.re()).seen, ['PX36', 'NM8', 'RE4']);
  t.same(read().seen, []);
  t.end();
});

t.test('a field that does not fit ends the area; what came before counts', (t) => {
  const broken = (length: number) => Buffer.from([0x4e, 0x4d, length, 1, 0, 0x61, 0x62]);
  t.same(read(field.re(), broken(200), field.re()).seen, ['RE4'], 'longer than the area');
  t.same(read(field.re(), broken(3), field.re()).seen, ['RE4'], 'shorter than a field');
  t.same(read(field.re(), broken(0), field.re()).seen, ['RE4'], 'without length');
  t.same(read(field.re(), Buffer.alloc(7)).seen, ['RE4'], 'padding');
  t.same(read(field.re(), Buffer.from('NM')).seen, ['RE4'], 'cut');
  t.end();
});

t.test('ST ends the area', (t) => {
  t.same(read(field.re(), field.st(), field.nm('a')).seen, ['RE4']);
  t.end();
});

t.test('CE tells where the fields go on, and does not end the area', (t) => {
  const { seen, next } = read(field.ce(30, 5, 100), field.re());
  t.same(seen, ['RE4']);
  t.same(next, { block: 30, offset: 5, length: 100 });
  t.equal(read(field.raw('CE', Buffer.alloc(8))).next, undefined, 'too short to tell');
  t.end();
});

t.test('a chain of continuations is followed', async (t) => {
  const areas = {
    30: Buffer.concat([Buffer.alloc(10), field.nm('a'), field.ce(31, 0, 8)]),
    31: Buffer.concat([field.re(), field.re(), field.re()]),
  };
  const { isGood, seen } = await follow([30, 10, 34], areas);
  t.ok(isGood);
  t.same(seen, ['NM6', 'RE4', 'RE4'], 'and no further than its length');
});

t.test('a chain that goes round ends', async (t) => {
  const round = { 30: Buffer.concat([field.re(), field.ce(30, 0, 32)]) };
  const { isGood, seen, reads } = await follow([30, 0, 32], round);
  t.notOk(isGood);
  t.equal(seen.length, 32);
  t.same(reads, [30], 'the block is read once');
});

t.test('32 hops are followed and 33 are not', async (t) => {
  const chain = (hops: number) =>
    Object.fromEntries(Array.from({ length: hops - 1 }, (_, hop) => [10 + hop, field.ce(11 + hop, 0, 28)]));
  t.ok((await follow([10, 0, 28], chain(32))).isGood);
  t.notOk((await follow([10, 0, 28], chain(33))).isGood);
});

t.test('an area stays inside its block, and the block inside the ISO', async (t) => {
  t.ok((await follow([63, sectorBytes - 4, 4], {})).isGood, 'the last bytes of all');
  t.ok((await follow([30, sectorBytes, 0], {})).isGood, 'nothing');
  t.notOk((await follow([30, sectorBytes - 4, 5], {})).isGood, 'over the end of its block');
  t.notOk((await follow([64, 0, 4], {})).isGood, 'behind the ISO');
  t.notOk((await follow([0xffffffff, 0, 4], {})).isGood, 'far behind the ISO');
  t.notOk((await follow([30, 0xffffffff, 0xffffffff], {})).isGood, 'offset and length out of this world');
});

t.test('continuations cost work', async (t) => {
  const image = Buffer.alloc(64 * sectorBytes);
  const continuations = new Continuations(readerOf(image), image.length, sectorBytes, new Budget(25));
  const many = async () => {
    for (let block = 0; block < 64; block++)
      await continuations.follow({ block, offset: 0, length: 4 }, new Recorder());
  };
  await t.rejects(many(), { code: 'BROKEN_ISO' });
});

t.test('a long area costs more than a short one: it may have hundreds of fields', async (t) => {
  const image = Buffer.alloc(64 * sectorBytes);
  const follow = async (length: number) => {
    const continuations = new Continuations(readerOf(image), image.length, sectorBytes, new Budget(100));
    for (let times = 0; times < 50; times++) {
      await continuations.follow({ block: 0, offset: 0, length }, new Recorder());
    }
  };
  await t.resolves(follow(4));
  await t.rejects(follow(sectorBytes), { code: 'BROKEN_ISO' });
});
