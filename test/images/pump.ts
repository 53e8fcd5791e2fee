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
    await pump(Readable.from(chunks), async (chunks) => {
      const seen = Buffer.concat(chunks);
      for (let turns = random.below(3); turns > 0; turns--) await turn();
      t.ok(seen.equals(Buffer.concat(chunks)), 'what the sink works on stays as it is');
      t.ok(seen.length > 0);
      taken.push(seen);
    });
    t.ok(Buffer.concat(taken).equals(Buffer.concat(chunks)), `run ${run}`);
  }
});

t.test('many small chunks come as one, and large ones as they are', async (t) => {
  for (const [count, bytes, expected] of [
    [1, 1, 1],
    [64, 16_384, 64],
    [64, 16_383, 1],
    [5000, 1, 1],
  ] as const) {
    const calls: (readonly Buffer[])[] = [];
    const stream = Readable.from(Array.from({ length: count }, () => Buffer.alloc(bytes)));
    await pump(stream, (chunks) => Promise.resolve(void calls.push(chunks)));
    t.equal(calls[0]?.length, expected, `${count} of ${bytes} bytes`);
  }
});

/** Pumps so many bytes into a slow sink. @returns how many the stream had given, at most, that the sink had not done */
async function bytesAhead(bytes: number): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024);
  let given = 0;
  let taken = 0;
  let ahead = 0;
  const stream = new Readable({
    read() {
      this.push(given < bytes ? chunk : null);
      given += chunk.length;
    },
  });
  await pump(stream, async (chunks) => {
    for (let turns = 0; turns < 50; turns++) await turn();
    ahead = Math.max(ahead, given - taken);
    taken += Buffer.concat(chunks).length;
  });
  return ahead;
}

t.test('a slow sink slows the stream down to its own pace', async (t) => {
  const ahead = await bytesAhead(40 * mebibyte);
  // What the sink is at, what waits for it, and what the stream holds itself.
  t.ok(ahead <= 10 * mebibyte + 256 * 1024, `${ahead} bytes`);
});

t.test('many slow sinks have no more waiting for them than one, and none is given hardly anything', async (t) => {
  for (const count of [10, 100]) {
    const each = await Promise.all(Array.from({ length: count }, () => bytesAhead(4 * mebibyte)));
    const most = Math.max((10 * mebibyte) / count, mebibyte / 2) + 256 * 1024;
    t.ok(Math.max(...each) <= most, `${Math.max(...each)} bytes of one of ${count}`);
    t.ok(Math.min(...each) >= mebibyte / 2);
  }
  t.ok((await bytesAhead(40 * mebibyte)) > 5 * mebibyte, 'and when they have ended one has all of it again');
});

t.test('a sink that fails gets nothing more, and leaves the stream alive', async (t) => {
  const stream = open(Buffer.from('first'));
  const taken: string[] = [];
  const failure = new ServiceError('NO_SPACE', 'full');
  const pumped = pump(stream, (bytes) => {
    taken.push(String(Buffer.concat(bytes)));
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
    taken.push(String(Buffer.concat(bytes)));
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
  const pumped = pump(stream, (bytes) => Promise.resolve(void taken.push(String(Buffer.concat(bytes)))), end.signal);
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
    (bytes) => Promise.resolve(void taken.push(String(Buffer.concat(bytes)))),
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
