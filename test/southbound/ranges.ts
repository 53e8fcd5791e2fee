import t from 'tap';
import { partsOf } from '../fixtures/byteranges.js';
import { ask } from '../fixtures/client.js';
import { Random } from '../fixtures/random.js';
import { both, content, startSouthbound } from '../fixtures/southbound.js';

const size = content.length;
const huge = '9'.repeat(400);

interface Slice {
  readonly spec: string;
  /** Undefined where the file has none of it; the end is included. */
  readonly found: readonly [start: number, end: number] | undefined;
}

/** A range as a client may ask for it, and what it is of the file. */
function randomSlice(random: Random): Slice {
  const start = random.below(random.pick([size, size, 3 * size]));
  const length = 1 + random.below(random.pick([1, 10, 1000, size]));
  const end = start + length - 1;
  const found = start < size ? ([start, Math.min(end, size - 1)] as const) : undefined;
  switch (random.below(4)) {
    case 0:
      return { spec: `${start}-`, found: start < size ? [start, size - 1] : undefined };
    case 1:
      return { spec: `-${length}`, found: [Math.max(0, size - length), size - 1] };
    case 2:
      return { spec: `${start}-${huge.slice(0, 30)}`, found: start < size ? [start, size - 1] : undefined };
    default:
      return { spec: `${start}-${end}`, found };
  }
}

t.test('any set of ranges of any file is these slices of it, or the whole', async (t) => {
  const { south } = await startSouthbound(t);
  const random = new Random(22);
  const seen = new Map<number, number>();
  for (let run = 0; run < 300; run += 1) {
    const slices = Array.from({ length: 1 + random.below(random.pick([1, 4, 12])) }, () => randomSlice(random));
    const header = `bytes=${slices.map(({ spec }) => spec).join(random.pick([',', ', ', ' ,\t']))}`;
    const path = random.pick(both);
    const answer = await ask(south, path, { headers: { range: header } });
    const found = slices.flatMap((slice) => (slice.found === undefined ? [] : [slice.found]));
    const sum = found.reduce((bytes, [start, end]) => bytes + end - start + 1, 0);
    const bytes = found.map(([start, end]) => content.subarray(start, end + 1));
    const kind = `${answer.status}${partsOf(answer).length > 0 ? ' in parts' : ''}`;
    const isRight = {
      '200': () => found.length > 1 && sum + found.length * 256 > size && answer.body.equals(content),
      '206': () => found.length === 1 && answer.body.equals(bytes[0] ?? content),
      '206 in parts': () => {
        const parts = partsOf(answer);
        const ranges = parts.map(({ head }) => /Content-Range: bytes (.*)$/.exec(head)?.[1]);
        const expected = found.map(([start, end]) => `${start}-${end}/${size}`);
        const isSame = parts.every((part, index) => part.bytes.equals(bytes[index] ?? content));
        return isSame && ranges.join() === expected.join();
      },
      '416': () => found.length === 0,
    }[kind];
    const isExact = answer.headers['content-length'] === String(answer.body.length) && answer.complete;
    if (isRight?.() !== true || !isExact) t.fail(`${header} of ${path}: ${kind}, ${answer.body.length} bytes`);
    seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
  }
  t.same([...seen.keys()].sort(), [200, 206, 416], JSON.stringify([...seen]));
});

t.test('what is asked for in a way that means nothing is never answered with a part of the file', async (t) => {
  const { south } = await startSouthbound(t);
  const cases: [range: string, status: number][] = [
    ['bytes=u-u', 416],
    ['bytes=', 416],
    ['bytes=-', 416],
    ['bytes=5-4', 416],
    ['bytes=--5', 416],
    ['bytes=+1-2', 416],
    ['bytes=0x1-2', 416],
    ['bytes=1e0-2', 416],
    ['bytes=0-1,x', 416],
    ['bytes=-0', 416],
    [`bytes=${size}-`, 416],
    [`bytes=${huge}-`, 416],
    [`bytes=${huge}-${huge}`, 416],
    ['bytes=0-1, bytes=2-3', 416],
    ['items=0-1', 200],
    ['bytes', 200],
    ['bytes 0-1', 200],
    ['0-1', 200],
    [`bytes=${Array.from({ length: 65 }, (_, index) => `${index * 2}-${index * 2}`).join()}`, 200],
    ['bytes=0-,0-', 200],
    [`bytes=${'0-,'.repeat(1300)}`, 200],
  ];
  for (const path of both) {
    for (const [range, status] of cases) {
      const answer = await ask(south, path, { headers: { range } });
      const body = status === 200 ? size : 0;
      t.same([answer.status, answer.body.length], [status, body], `${range.slice(0, 40)} of ${path}`);
      const contentRange = status === 416 ? `bytes */${size}` : undefined;
      t.equal(answer.headers['content-range'], contentRange);
    }
  }
});

t.test('an end beyond any number is the end of the file', async (t) => {
  const { south } = await startSouthbound(t);
  for (const path of both) {
    for (const range of [`bytes=49990-${huge}`, 'bytes=49990-18446744073709551616', 'BYTES=49990-', 'bytes=-10']) {
      const { status, headers, body } = await ask(south, path, { headers: { range } });
      t.same([status, headers['content-range']], [206, 'bytes 49990-49999/50000'], range.slice(0, 40));
      t.ok(body.equals(content.subarray(49_990)));
    }
    const { body } = await ask(south, path, { headers: { range: `bytes=-${huge}` } });
    t.ok(body.equals(content));
  }
});

t.test('an empty file has no parts and is whole, whatever is asked for', async (t) => {
  const { south } = await startSouthbound(t);
  for (const path of ['/plain/empty', '/ubuntu/14.04/empty']) {
    for (const range of ['bytes=0-', 'bytes=-1', 'bytes=0-0,2-3', 'bytes=5-4']) {
      const { status, headers, complete } = await ask(south, path, { headers: { range } });
      t.same([status, headers['content-length'], complete], [200, '0', true], `${range} of ${path}`);
      t.notHas(headers, 'content-range');
    }
  }
});

t.test('HEAD knows no range', async (t) => {
  const { south } = await startSouthbound(t);
  for (const path of both) {
    for (const range of ['bytes=0-1', 'bytes=0-1,5-6', 'bytes=99999-', 'bytes=u-u']) {
      const { status, headers } = await ask(south, path, { method: 'HEAD', headers: { range } });
      t.same([status, headers['content-length']], [200, String(size)], `${range} of ${path}`);
    }
  }
});
