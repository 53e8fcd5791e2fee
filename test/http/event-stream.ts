import t, { type Test } from 'tap';
import { EventStream, type EventStreamOptions } from '../../lib/http/event-stream.js';
import { ask, json } from '../fixtures/client.js';
import { EventClient } from '../fixtures/event-client.js';
import { everywhere, startHttp } from '../fixtures/http-server.js';
import { waitFor } from '../fixtures/wait.js';

const all = 2 ** 30;

async function start(t: Test, options?: EventStreamOptions) {
  const stream = new EventStream(options);
  const { url, server } = await startHttp(
    t,
    everywhere((exchange) => stream.serve(exchange)),
  );
  t.teardown(() => stream.stop());
  const open = async (lastId?: string) => {
    const client = await EventClient.open(url, '/', lastId);
    if (client.status === 200) await client.begun();
    return client;
  };
  return { stream, url, server, open };
}

t.test('who reads gets each event as it happens, with headers that proxies let through', async (t) => {
  const { stream, open } = await start(t);
  stream.publish('before', 0);
  const [one, other] = [await open(), await open()];
  t.equal(one.status, 200);
  t.match(one.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
  stream.publish('image', { name: 'ü' });
  stream.publish('file', { name: 'b' });
  for (const client of [one, other]) {
    await client.until('two events', (events) => events.length === 2);
    t.same(client.dataOf('image'), [{ name: 'ü' }]);
    t.same(client.dataOf('file'), [{ name: 'b' }]);
  }
  t.equal(new Set(one.events.map(({ id }) => id)).size, 2);
});

t.test(
  'who comes again with the id of the last event misses none, also when it was cut off before the first',
  async (t) => {
    const { stream, open } = await start(t);
    for (const happened of [0, 1]) {
      const first = await open();
      if (happened === 1) {
        stream.publish('a', 'seen');
        await first.until('the first', (events) => events.length === 1);
      }
      first.close();
      await waitFor('its end', () => stream.readers === 0);
      stream.publish('a', 'missed');
      stream.publish('a', 'missed too');
      const again = await open(first.lastId);
      stream.publish('a', 'new');
      await again.until('three events', (events) => events.length === 3);
      t.same(again.dataOf('a'), ['missed', 'missed too', 'new']);
      again.close();
    }
  },
);

t.test('where the id is too old, or of an earlier run, the client is told to load everything anew', async (t) => {
  const { stream, open } = await start(t, { history: { events: 2, characters: 10_000 } });
  const first = await open();
  const { lastId } = first;
  for (let count = 0; count < 3; count++) stream.publish('a', count);
  for (const id of [lastId, '01234567-1', 'nonsense', '']) {
    const client = await open(id);
    stream.publish('a', 'new');
    await client.until('two events', (events) => events.length === 2);
    t.match(
      client.events,
      [
        { name: 'reset', data: {} },
        { name: 'a', data: 'new' },
      ],
      JSON.stringify(id),
    );
    const again = await open(client.events[0]?.id);
    await again.until('the new one', (events) => events.length === 1);
    t.same(again.dataOf('a'), ['new'], 'and goes on from there');
  }
});

t.test('a comment comes again and again while nothing happens', async (t) => {
  const { open } = await start(t, { heartbeat: 10 });
  const client = await open();
  await waitFor('comments', () => client.comments >= 3);
  t.same(client.events, []);
});

t.test(
  'a reader that takes nothing costs no memory: too far behind it is cut, and is told so when it comes again',
  async (t) => {
    const { stream, open } = await start(t, { history: { events: 50, characters: all } });
    const slow = await open();
    const quick = await open();
    slow.pause();
    const value = 'x'.repeat(100_000);
    let sent = 0;
    // What the kernel takes for a client that does not read is some megabytes.
    while (stream.readers === 2) {
      stream.publish('a', value);
      sent += 1;
      const count = sent;
      await quick.until('the event', (events) => events.length === count);
      if (sent > 1000) throw new Error('100 MB later it is not cut');
    }
    t.equal(quick.isClosed, false, 'nobody else is');
    slow.resume();
    await waitFor('its end', () => slow.isClosed);
    const again = await open(slow.lastId);
    await again.until('reset', (events) => events.length > 0);
    t.match(again.events, [{ name: 'reset' }]);
  },
);

t.test('a reader that takes nothing for a while gives its place away', async (t) => {
  const { stream, open } = await start(t, { heartbeat: 50, maxReaders: 1 });
  const slow = await open();
  slow.pause();
  for (let count = 0; count < 200; count++) stream.publish('a', 'x'.repeat(100_000), 'one subject');
  for (let count = 0; stream.readers === 1; count++) {
    stream.publish('a', 'x'.repeat(900_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (count > 500) throw new Error('it still has it');
  }
  t.equal((await open()).status, 200);
});

t.test('a reader that is slow but reads gets everything, and in order', async (t) => {
  const { stream, open } = await start(t, { history: { events: all, characters: all } });
  const slow = await open();
  slow.pause();
  for (let count = 0; count < 300; count++) stream.publish('a', { count, text: 'x'.repeat(50_000) });
  slow.resume();
  await slow.until('all', (events) => events.length === 300);
  const counts = slow.dataOf('a').map((value) => (value as { count: number }).count);
  t.same(
    counts,
    Array.from({ length: 300 }, (_, index) => index),
  );
});

t.test('one more than may read is told to come later, and has a place when another leaves', async (t) => {
  const { stream, url, open } = await start(t, { maxReaders: 2 });
  const first = await open();
  await open();
  const refused = await ask(url, '/');
  t.match(refused, { status: 503, headers: { 'retry-after': /^\d+$/ } });
  t.match(json(refused), { code: 'UNAVAILABLE', message: /2 clients read the events already/ });
  first.close();
  await waitFor('its end', () => stream.readers === 1);
  t.equal((await open()).status, 200);
});

t.test('HEAD is answered with the headers alone, and takes no place', async (t) => {
  const { stream, url } = await start(t);
  const head = await ask(url, '/', { method: 'HEAD' });
  t.match(head, { status: 200, text: '', complete: true, headers: { 'content-type': 'text/event-stream' } });
  t.equal(stream.readers, 0);
});

t.test('at the stop all readers end at once, one that takes nothing too, and no other comes in', async (t) => {
  const { stream, server, url, open } = await start(t, { history: { events: all, characters: all } });
  const reading = await open();
  const hanging = await open();
  hanging.pause();
  for (let count = 0; count < 200; count++) stream.publish('a', 'x'.repeat(100_000));
  await reading.until('all', (events) => events.length === 200);
  stream.stop();
  t.match(await ask(url, '/'), { status: 503 });
  await server.stop(all);
  t.equal(stream.readers, 0);
});
