import { getEventListeners } from 'node:events';
import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { Outlet } from '../../lib/http/outlet.js';
import type { Pace } from '../../lib/http/pace.js';
import { deferred } from '../fixtures/http-server.js';

const bytes = Buffer.alloc(1000);

/** An outlet to a stream that calls back when it is told to, with a clock that stands still until it is moved. */
function setUp(pace?: Pace) {
  const written: { readonly length: number; readonly done: (error?: Error | null) => void }[] = [];
  const target = new Writable({
    write: (chunk: Buffer, _encoding, done) => void written.push({ length: chunk.length, done }),
  });
  target.on('error', () => undefined);
  const closed = new AbortController();
  const clock = { now: 0 };
  const outlet = new Outlet(target, closed.signal, pace, () => clock.now);
  return { outlet, written, closed, clock };
}

/** Long enough for whoever waits for a turn. */
async function turns() {
  for (let count = 0; count < 5; count++) await turn();
}

t.test('the first bytes go out at once, and all others give the event loop a turn', async (t) => {
  const { outlet, written } = setUp();
  const first = outlet.send(bytes);
  t.equal(written.length, 1);
  written[0]?.done();
  await first;
  const second = outlet.send(bytes);
  t.equal(written.length, 1);
  await turns();
  t.equal(written.length, 2);
  written[1]?.done();
  await second;
});

t.test('writes grow as long as they go well', async (t) => {
  const { outlet, written } = setUp();
  const sizes: number[] = [];
  for (let count = 0; count < 4; count++) {
    sizes.push(outlet.most);
    const sending = outlet.send(bytes);
    await turns();
    written[count]?.done();
    await sending;
  }
  t.same(sizes, [64, 256, 1024, 4096].map((size) => size * 1024)); // prettier-ignore
});

t.test('a client who takes long over a write is slow, and who is given little at a time too', async (t) => {
  const { outlet, written, clock } = setUp();
  const sending = outlet.send(bytes);
  t.notOk(outlet.isSlow);
  clock.now += 1000;
  written[0]?.done();
  await sending;
  t.ok(outlet.isSlow);
  const take = () => {
    paced.clock.now += 1000;
    return Promise.resolve();
  };
  const paced = setUp({ bytes: 1000, take });
  const given = paced.outlet.send(bytes);
  await turns();
  paced.written[0]?.done();
  await given;
  t.ok(paced.outlet.isSlow);
});

t.test('the pace bounds each write, and none goes out before it says so', async (t) => {
  const asked: number[] = [];
  const allowed = deferred();
  const take = (count: number) => {
    asked.push(count);
    return allowed.promise;
  };
  const { outlet, written } = setUp({ bytes: 1000, take });
  t.equal(outlet.most, 1000);
  const sending = outlet.send(bytes);
  await turns();
  t.same([asked, written.length], [[1000], 0]);
  allowed.resolve();
  await turns();
  written[0]?.done();
  await sending;
  t.equal(written.length, 1);
});

t.test('a pace that refuses is an error of its own', async (t) => {
  const refusal = new Error('no more');
  const { outlet, written } = setUp({ bytes: 1000, take: () => Promise.reject(refusal) });
  await t.rejects(outlet.send(bytes), refusal);
  t.equal(written.length, 0);
});

t.test('a connection that is gone ends what waits: for the pace, for a turn or for the kernel', async (t) => {
  const paced = setUp({ bytes: 1000, take: () => new Promise(() => undefined) });
  const waiting = paced.outlet.send(bytes);
  paced.closed.abort();
  await t.rejects(waiting, { code: 'TIMEOUT' });
  t.ok(paced.outlet.isClear);

  const { outlet, written, closed } = setUp();
  const first = outlet.send(bytes);
  written[0]?.done();
  await first;
  const queued = outlet.send(bytes);
  closed.abort();
  await t.rejects(queued, { code: 'TIMEOUT' });
  t.ok(outlet.isClear, 'the stream has none of it');
  await turns();
  t.equal(written.length, 1, 'and never gets it: the bytes may be others by now');
  await t.rejects(outlet.send(bytes), { code: 'TIMEOUT' });

  const stuck = setUp();
  const writing = stuck.outlet.send(bytes);
  stuck.closed.abort();
  await t.rejects(writing, { code: 'TIMEOUT' });
  t.notOk(stuck.outlet.isClear, 'the stream may read the bytes at any time');
  stuck.written[0]?.done();
  await turns();
  t.ok(stuck.outlet.isClear);
});

t.test('a write that fails is a client that has left, and nothing stays behind', async (t) => {
  const { outlet, written, closed } = setUp();
  const sending = outlet.send(bytes);
  written[0]?.done(new Error('EPIPE'));
  await t.rejects(sending, { code: 'TIMEOUT' });
  t.ok(outlet.isClear);
  t.equal(getEventListeners(closed.signal, 'abort').length, 1);
  outlet.end();
  t.equal(getEventListeners(closed.signal, 'abort').length, 0);
});
