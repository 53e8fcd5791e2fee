import { getEventListeners } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { Slots } from '../lib/slots.js';
import { Random } from './fixtures/random.js';

const patient = new AbortController().signal;

interface Job {
  readonly done: Promise<unknown>;
  readonly end: (error?: Error) => Promise<void>;
}

function setUp(count: number) {
  const slots = new Slots(count);
  const begun: string[] = [];
  const start = (name: string, signal: AbortSignal = patient): Job => {
    let finish: (error?: Error) => void = () => undefined;
    const ended = new Promise<string>((resolve, reject) => {
      finish = (error) => (error === undefined ? resolve(name) : reject(error));
    });
    const done = slots.run(() => {
      begun.push(name);
      return ended;
    }, signal);
    const end = async (error?: Error) => {
      finish(error);
      await turn();
    };
    return { done, end };
  };
  return { slots, begun, start };
}

t.test('no more than so many go on at a time, and the others follow in the order in which they came', async (t) => {
  const { begun, start } = setUp(2);
  const [a, b, c, d] = [start('a'), start('b'), start('c'), start('d')];
  await turn();
  t.same(begun, ['a', 'b']);
  await b.end();
  t.same(begun, ['a', 'b', 'c']);
  await a.end();
  t.same(begun, ['a', 'b', 'c', 'd']);
  await c.end();
  await d.end();
  t.same(await Promise.all([a.done, b.done, c.done, d.done]), ['a', 'b', 'c', 'd']);
  start('e');
  start('f');
  start('g');
  await turn();
  t.same(begun.slice(4), ['e', 'f'], 'all slots are free again, and none too many');
});

t.test('work that fails frees its slot and says why', async (t) => {
  const { begun, start } = setUp(1);
  const failing = start('failing');
  start('next');
  const failed = t.rejects(failing.done, { message: 'no' });
  await turn();
  await failing.end(new Error('no'));
  await failed;
  t.same(begun, ['failing', 'next']);
});

t.test('whoever gives up while it waits leaves its turn to the next, and its work is never begun', async (t) => {
  const { begun, start } = setUp(1);
  const giveUp = new AbortController();
  const first = start('first');
  const given = start('given up', giveUp.signal);
  const next = start('next');
  const failed = t.rejects(given.done, { name: 'AbortError' });
  giveUp.abort();
  await failed;
  await first.end();
  t.same(begun, ['first', 'next']);
  await next.end();
  t.same(getEventListeners(giveUp.signal, 'abort'), []);
});

for (const [what, both] of [
  ['before', ['give up', 'end']],
  ['after', ['end', 'give up']],
] as const) {
  t.test(`a slot that comes free in the moment ${what} somebody gives up goes to one that wants it`, async (t) => {
    const { begun, start } = setUp(1);
    const giveUp = new AbortController();
    const first = start('first');
    const given = start('given up', giveUp.signal);
    const next = start('next');
    const settled = Promise.allSettled([given.done]);
    await turn();
    for (const step of both) {
      if (step === 'end') void first.end();
      else giveUp.abort();
    }
    await turn();
    await given.end();
    await settled;
    t.ok(begun.includes('next'), begun.join());
    await next.end();
    start('last');
    await turn();
    t.equal(begun.at(-1), 'last');
  });
}

t.test('whoever has given up already does not wait, and takes nothing from the others', async (t) => {
  const { begun, start } = setUp(1);
  const first = start('first');
  await t.rejects(start('too late', AbortSignal.abort()).done, { name: 'AbortError' });
  start('next');
  await first.end();
  t.same(begun, ['first', 'next']);
});

t.test('whatever ends, fails or gives up, the bound holds and nobody is forgotten', async (t) => {
  const random = new Random(3);
  const slots = new Slots(3);
  let going = 0;
  let most = 0;
  const jobs = Array.from({ length: 300 }, async () => {
    const giveUp = new AbortController();
    if (random.below(3) === 0) setImmediate(() => giveUp.abort());
    await slots.run(async () => {
      most = Math.max(most, ++going);
      for (let turns = random.below(4); turns > 0; turns--) await turn();
      going -= 1;
      if (random.below(4) === 0) throw new Error('failed');
    }, giveUp.signal);
  });
  await Promise.allSettled(jobs);
  t.equal(most, 3);
  t.equal(going, 0);
});

t.test('with more slots those that wait begin at once, in their order', async (t) => {
  const { slots, begun, start } = setUp(1);
  for (const name of ['a', 'b', 'c', 'd']) start(name);
  slots.resize(3);
  await turn();
  t.same(begun, ['a', 'b', 'c']);
});

t.test('with fewer slots none begins before enough have ended', async (t) => {
  const { slots, begun, start } = setUp(3);
  const [a, b, c] = [start('a'), start('b'), start('c')];
  start('d');
  start('e');
  slots.resize(1);
  await a.end();
  await b.end();
  t.same(begun, ['a', 'b', 'c']);
  await c.end();
  t.same(begun, ['a', 'b', 'c', 'd']);
});
