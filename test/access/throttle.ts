import t from 'tap';
import { Throttle, throttleLimits } from '../../lib/access/throttle.js';

function manual(limits = throttleLimits) {
  const clock = { now: 1_000_000 };
  return { clock, throttle: new Throttle(limits, () => clock.now) };
}

t.test('ten failures are free, then there is one every six seconds', (t) => {
  const { clock, throttle } = manual();
  for (let failure = 0; failure < 10; failure++) t.equal(throttle.take('a'), 0);
  t.equal(throttle.take('a'), 6000);
  t.equal(throttle.take('b'), 0, 'others are not slowed');
  clock.now += 4000;
  t.equal(throttle.take('a'), 2000, 'a refused try costs nothing more');
  clock.now += 2000;
  t.equal(throttle.take('a'), 0);
  t.equal(throttle.take('a'), 6000);
  clock.now += 60_000;
  for (let failure = 0; failure < 10; failure++) t.equal(throttle.take('a'), 0, 'after a minute all is forgotten');
  t.equal(throttle.take('a'), 6000);
  t.end();
});

t.test('who does not fail is never slowed, and leaves nothing behind', (t) => {
  const { throttle } = manual();
  for (let success = 0; success < 100; success++) {
    t.equal(throttle.take('a'), 0);
    throttle.giveBack('a');
  }
  t.equal(throttle.size, 0);
  for (let failure = 0; failure < 10; failure++) throttle.take('a');
  throttle.giveBack('a');
  t.equal(throttle.take('a'), 0, 'one of ten was right');
  t.equal(throttle.take('a'), 6000);
  t.end();
});

t.test('of many clients, those that have been quiet longest are forgotten', (t) => {
  const { throttle } = manual({ burst: 1, interval: 6000, remembered: 3 });
  for (const client of ['a', 'b', 'c', 'd']) throttle.take(client);
  t.equal(throttle.size, 3);
  t.equal(throttle.take('d'), 6000);
  t.equal(throttle.take('a'), 0, 'this one was forgotten');
  throttle.giveBack('nobody');
  t.equal(throttle.size, 3);
  t.end();
});
