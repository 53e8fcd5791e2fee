import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { pump } from '../../lib/images/pump.js';
import { Random } from '../fixtures/random.js';

const mebibyte = 1024 * 1024;
const nothing = () => undefined;

/** A stream that gives what the test pushes. */
function open(...chunks: readonly Buffer[]): Readable {
  const stream = new Readable({ read: nothing });
  for (const chunk of chunks) stream.push(chunk);
  return stream;
}

/** What a promise comes to, and how to bring it there. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open: () => void = nothing;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

t.test('the sink gets all bytes in order, however they come', async (t) => {
  const random = new Random(1);
  for (let run = 0; run < 30; run++) {
    const limit = random.pick([10, 3000, 300_000, 5 * mebibyte]);
    const chunks = Array.from({ length: random.below(8) }, (_, index) => {
      return Buffer.alloc(random.below(limit), `chunk ${index} of ${run}`);
    });
    const taken: Buffer[] = [];
    await pump(Readable.from(chunks), async (bytes) => {
      const seen = Buffer.from(bytes);
      for (let turns = random.below(3); turns > 0; turns--) await turn();
      t.ok(seen.equals(bytes), 'what the sink works on stays as it is');
      t.ok(bytes.length > 0 && bytes.length <= mebibyte);
      taken.push(seen);
    });
    t.ok(Buffer.concat(taken).equals(Buffer.concat(chunks)), `run ${run}`);
  }
});

t.test('the sink gets memory that other threads can read, and no more of it than a small upload needs', async (t) => {
  const sizes: number[] = [];
  for (const size of [1, 100, 3000, 65_536, 65_537, mebibyte, 3 * mebibyte]) {
    await pump(Readable.from([Buffer.alloc(size)]), ({ buffer }) => {
      t.type(buffer, SharedArrayBuffer);
      sizes.push(buffer.byteLength);
      return Promise.resolve();
    });
  }
  t.same(sizes, [1, 128, 4096, 65_536, ...Array<number>(5).fill(mebibyte)]);
});

/** The block of each call of the sink. */
async function blocksOf(bytes: number): Promise<unknown[]> {
  const blocks: unknown[] = [];
  await pump(Readable.from([Buffer.alloc(bytes)]), ({ buffer }) => Promise.resolve(void blocks.push(buffer)));
  return blocks;
}

t.test('a block is used again, by the same upload and by the next', async (t) => {
  const [first, ...others] = [...(await blocksOf(3 * mebibyte)), ...(await blocksOf(2 * mebibyte))];
  t.equal(others.length, 4);
  for (const block of others) t.equal(block, first);
});

t.test('two uploads at once never share a block', async (t) => {
  const inUse = new Set<unknown>();
  const sink = async ({ buffer }: Buffer) => {
    t.notOk(inUse.has(buffer));
    inUse.add(buffer);
    await turn();
    inUse.delete(buffer);
  };
  const uploads = Array.from({ length: 20 }, () => pump(Readable.from([Buffer.alloc(2 * mebibyte)]), sink));
  await Promise.all(uploads);
  t.equal(inUse.size, 0);
});

t.test('a block whose sink has failed is not given to anybody else', async (t) => {
  let failed: unknown;
  const broken = pump(open(Buffer.alloc(mebibyte)), ({ buffer }) => {
    failed = buffer;
    return Promise.reject(new Error('full'));
  });
  await t.rejects(broken, { message: 'full' });
  t.type(failed, SharedArrayBuffer);
  t.notOk((await blocksOf(mebibyte)).includes(failed));
});

t.test('a slow sink slows the stream down to its own pace', async (t) => {
  const chunk = Buffer.alloc(64 * 1024);
  let given = 0;
  let taken = 0;
  let ahead = 0;
  const stream = new Readable({
    read() {
      given += chunk.length;
      this.push(given > 8 * mebibyte ? null : chunk);
    },
  });
  await pump(stream, async (bytes) => {
    for (let turns = 0; turns < 50; turns++) await turn();
    ahead = Math.max(ahead, given - taken);
    taken += bytes.length;
  });
  t.equal(taken, 8 * mebibyte);
  // What the sink is at, what waits for it, and what the stream holds itself.
  t.ok(ahead <= 2 * mebibyte + 4 * chunk.length, `${ahead} bytes`);
});

t.test('a sink that fails gets nothing more, and leaves the stream alive', async (t) => {
  const stream = open(Buffer.from('first'));
  const taken: string[] = [];
  const failure = new ServiceError('NO_SPACE', 'full');
  const pumped = pump(stream, (bytes) => {
    taken.push(bytes.toString());
    stream.push('second');
    return turn().then(() => Promise.reject(failure));
  });
  await t.rejects(pumped, failure);
  t.same(taken, ['first']);
  t.notOk(stream.destroyed);
  t.ok(stream.isPaused());
});

t.test('a stream that breaks fails the upload, when the sink has done what it was at', async (t) => {
  const stream = open(Buffer.from('first'));
  const { passed, open: letPass } = gate();
  const taken: string[] = [];
  let hasEnded = false;
  const pumped = pump(stream, async (bytes) => {
    taken.push(bytes.toString());
    stream.push('second');
    await turn();
    stream.destroy();
    await passed;
    hasEnded = true;
  });
  pumped.catch(() => t.ok(hasEnded, 'not before'));
  stream.once('close', () => setImmediate(letPass));
  await t.rejects(pumped, { code: 'BAD_REQUEST', message: /ended before all/ });
  t.same(taken, ['first', 'second'], 'and all that had arrived');
});

t.test('an abort ends an upload where it is, with its reason', async (t) => {
  const reason = new ServiceError('TIMEOUT', 'silent for too long');
  const end = new AbortController();
  const stream = open(Buffer.from('first'));
  const taken: string[] = [];
  const pumped = pump(stream, (bytes) => Promise.resolve(void taken.push(bytes.toString())), end.signal);
  await turn();
  end.abort(reason);
  await t.rejects(pumped, reason);
  stream.push('second');
  await turn();
  t.same(taken, ['first']);
  t.notOk(stream.destroyed, 'its request can still be answered');
  t.same(getEventListeners(end.signal, 'abort'), []);
  const later = pump(
    open(Buffer.from('first')),
    (bytes) => Promise.resolve(void taken.push(bytes.toString())),
    end.signal,
  );
  await t.rejects(later, reason);
  t.same(taken, ['first'], 'nothing at all after the abort');
});

t.test('an upload that ends well leaves nothing at its signal', async (t) => {
  const { signal } = new AbortController();
  await pump(Readable.from([Buffer.from('all')]), () => Promise.resolve(), signal);
  t.same(getEventListeners(signal, 'abort'), []);
});
