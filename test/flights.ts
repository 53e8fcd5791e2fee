import t from 'tap';
import { Flights } from '../lib/flights.js';

/** Calls that end when the test says so. */
function controlled() {
  const calls: { parts: number; end: (value: string) => void; fail: (error: Error) => void }[] = [];
  const call = (parts: number) =>
    new Promise<string>((resolve, reject) => calls.push({ parts, end: resolve, fail: reject }));
  return { calls, call };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

t.test('who comes while a call is under way shares the next one', async (t) => {
  const flights = new Flights<string>();
  const { calls, call } = controlled();
  const first = flights.run('a', call);
  const others = [flights.run('a', call), flights.run('a', call), flights.run('a', call)];
  t.equal(calls.length, 1);
  calls[0]?.end('before');
  t.equal(await first, 'before');
  await turn();
  t.same(
    calls.map(({ parts }) => parts),
    [1, 3],
  );
  const late = flights.run('a', call);
  calls[1]?.end('after');
  t.same(await Promise.all(others), ['after', 'after', 'after']);
  await turn();
  t.same(
    calls.map(({ parts }) => parts),
    [1, 3, 1],
  );
  calls[2]?.end('last');
  t.equal(await late, 'last');
  void flights.run('a', call);
  t.equal(calls.length, 4, 'and when nothing is under way, a call begins at once');
});

t.test('calls for other keys do not wait', (t) => {
  const flights = new Flights<string>();
  const { calls, call } = controlled();
  void flights.run('a', call);
  void flights.run('b', call);
  t.equal(calls.length, 2);
  t.end();
});

t.test('a call that fails fails for those who share it, and not for the next ones', async (t) => {
  const flights = new Flights<string>();
  const { calls, call } = controlled();
  const first = flights.run('a', call);
  const others = [flights.run('a', call), flights.run('a', call)];
  calls[0]?.fail(new Error('first'));
  await t.rejects(first, { message: 'first' });
  await turn();
  calls[1]?.end('second');
  t.same(await Promise.all(others), ['second', 'second']);
});

t.test('nothing of a call stays behind', async (t) => {
  const flights = new Flights<string>();
  for (let round = 0; round < 3; round++) {
    const outcomes = ['x', 'x', 'y'].map((key) => flights.run(key, () => Promise.resolve(key)));
    t.same(await Promise.all(outcomes), ['x', 'x', 'y']);
    await turn();
  }
  const { calls, call } = controlled();
  void flights.run('x', call);
  t.equal(calls.length, 1);
});
