import t from 'tap';
import { Turns } from '../lib/turns.js';

t.test('long work that asks lets the others run', async (t) => {
  const turns = new Turns();
  const others = AbortSignal.timeout(1);
  let steps = 0;
  for (; !others.aborted; steps++) if (turns.isDue) await turns.take();
  t.ok(steps > 1, 'and does most steps without a pause');
});
