import t from 'tap';
import { systemClock } from '../../lib/http/clock.js';

t.test('the clock of the machine goes on, and calls once when it is time', async (t) => {
  const began = systemClock.now();
  // The timer itself keeps nothing alive.
  const alive = setInterval(() => undefined, 1000);
  await new Promise<void>((resolve) => systemClock.after(5, resolve));
  clearInterval(alive);
  t.ok(systemClock.now() > began);
});

t.test('what was called off does not happen', async (t) => {
  const calls: string[] = [];
  const cancel = systemClock.after(1, () => calls.push('called off'));
  systemClock.after(1, () => calls.push('kept'));
  cancel();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(calls, ['kept']);
});
