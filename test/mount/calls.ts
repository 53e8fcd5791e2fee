import t from 'tap';
import { Calls, maxCalls, Threads } from '../../lib/mount/calls.js';

const forever = 1e9;

/** A call that ends when the test says so. */
function pending<T>() {
  let end: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => (end = resolve));
  return { call: () => promise, end };
}

t.test('a call gives what it gives', async (t) => {
  const calls = new Calls(forever, () => t.fail('nothing hangs'));
  t.equal(await calls.run(() => Promise.resolve(7)), 7);
  const error = new Error('no');
  await t.rejects(
    calls.run(() => Promise.reject(error)),
    error,
  );
  t.equal(await calls.run(() => Promise.resolve(8)), 8);
});

t.test('only a few are made at a time, in turn', async (t) => {
  const calls = new Calls(forever, () => t.fail('nothing hangs'));
  let running = 0;
  let most = 0;
  const order: number[] = [];
  const made = Array.from({ length: 30 }, (_, index) =>
    calls.run(async () => {
      most = Math.max(most, ++running);
      order.push(index);
      await new Promise(setImmediate);
      running--;
      if (index % 3 === 0) throw new Error('fails');
    }),
  );
  await Promise.allSettled(made);
  t.equal(most, maxCalls);
  t.same(
    order,
    made.map((_, index) => index),
  );
});

t.test('a call that hangs is given up, and nobody asks again until it has come back', async (t) => {
  let hangs = 0;
  const tooLate = () => {
    t.fail('a call was made');
    return Promise.resolve('');
  };
  const calls = new Calls(5, () => hangs++);
  const [one, two] = [pending<string>(), pending<string>()];
  const late: string[] = [];
  const hanging = [one, two].map(({ call }) => calls.run(call, (value) => late.push(value)));
  const waiting = calls.run(tooLate);
  const refusals = [...hanging, waiting].map((call) => t.rejects(call, { name: 'ServiceError', code: 'UNAVAILABLE' }));
  await Promise.all(refusals);
  t.equal(hangs, 2);
  await t.rejects(calls.run(tooLate), { code: 'UNAVAILABLE' });
  one.end('one');
  await new Promise(setImmediate);
  await t.rejects(calls.run(tooLate), { code: 'UNAVAILABLE' });
  two.end('two');
  await new Promise(setImmediate);
  t.same(late, ['one', 'two'], 'what comes late is handed over to be closed');
  t.equal(await calls.run(() => Promise.resolve('again')), 'again');
});

t.test('mounts that hang leave a thread to the rest of the service, and who waits for one is answered', async (t) => {
  const threads = new Threads(3);
  let running = 0;
  const mount = (timeout: number) => {
    const calls = new Calls(timeout, () => undefined, threads);
    const held = pending<string>();
    const call = () => {
      running++;
      return held.call();
    };
    return { ask: () => calls.run(call), end: () => held.end('late') };
  };
  const mounts = [mount(20), mount(20)];
  const patient = mount(forever);
  const asked = [...mounts, ...mounts].map(({ ask }) => t.rejects(ask(), { code: 'UNAVAILABLE' }));
  const waiting = patient.ask();
  await Promise.all(asked);
  t.equal(running, 3);
  for (const { end } of mounts) end();
  patient.end();
  t.equal(await waiting, 'late', 'a thread that comes back goes to who waits');
});

t.test('a mount that waits in vain for a thread does not count as one that hangs', async (t) => {
  const threads = new Threads(1);
  const hanging = pending<string>();
  const other = new Calls(forever, () => t.fail('the test ends it'), threads).run(hanging.call);
  const calls = new Calls(5, () => t.fail('it was not even asked'), threads);
  const ask = () => calls.run(() => Promise.resolve('answer'));
  await t.rejects(ask(), { name: 'ServiceError', code: 'UNAVAILABLE', message: /Other mounts/ });
  hanging.end('late');
  t.equal(await other, 'late');
  t.equal(await ask(), 'answer');
});
