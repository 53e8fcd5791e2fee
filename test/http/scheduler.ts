import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { Scheduler } from '../../lib/http/scheduler.js';

t.test('work is done in the order in which it came, and not at once', async (t) => {
  const scheduler = new Scheduler(() => 0);
  const done: number[] = [];
  for (const number of [1, 2, 3]) scheduler.run(() => done.push(number));
  t.same(done, []);
  await turn();
  t.same(done, [1, 2, 3]);
  scheduler.run(() => done.push(4));
  t.same(done, [1, 2, 3]);
  await turn();
  t.same(done, [1, 2, 3, 4]);
});

t.test('who has had a turn waits for all others', async (t) => {
  const scheduler = new Scheduler(() => 0);
  const done: string[] = [];
  const work = (name: string, times: number) => {
    scheduler.run(() => {
      done.push(name);
      if (times > 1) work(name, times - 1);
    });
  };
  for (const name of ['a', 'b', 'c']) work(name, 2);
  while (done.length < 6) await turn();
  t.same(done, ['a', 'b', 'c', 'a', 'b', 'c']);
});

t.test('work that takes long is done one piece in a turn of the event loop', async (t) => {
  let now = 0;
  const scheduler = new Scheduler(() => (now += 1000));
  const done: number[] = [];
  for (const number of [1, 2, 3]) scheduler.run(() => done.push(number));
  const counts: number[] = [];
  for (let count = 0; count < 5; count++) {
    counts.push(done.length);
    await turn();
  }
  t.ok(counts.includes(1) && counts.includes(2), counts.join(' '));
  t.same(done, [1, 2, 3]);
});

t.test('work that fails keeps nobody else from having a turn', async (t) => {
  const scheduler = new Scheduler(() => 0);
  const done: number[] = [];
  scheduler.run(() => {
    throw new Error('no');
  });
  scheduler.run(() => done.push(2));
  const [error] = (await once(process, 'uncaughtException')) as [Error];
  t.equal(error.message, 'no');
  await turn();
  await turn();
  t.same(done, [2]);
});
