import t from 'tap';
import { Lag } from '../../lib/observe/lag.js';

t.test('how long the event loop could do nothing else is told once', async (t) => {
  const lag = new Lag();
  lag.start();
  t.teardown(() => lag.stop());
  const turn = () => new Promise((resolve) => setTimeout(resolve, 50));
  await turn();
  const end = performance.now() + 300;
  while (performance.now() < end);
  await turn();
  t.ok(lag.take() > 0.2);
  t.equal(lag.take(), 0);
});
