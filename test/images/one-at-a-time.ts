import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { OneAtATime } from '../../lib/images/one-at-a-time.js';

t.test('one thing is done after the other, also when one of them fails', async (t) => {
  const turns = new OneAtATime();
  const steps: string[] = [];
  const work = (name: string, milliseconds: number) => async () => {
    steps.push(`${name} begins`);
    await sleep(milliseconds);
    steps.push(`${name} ends`);
    if (name === 'b') throw new Error('b');
    return name;
  };
  const [a, b, c] = [turns.run(work('a', 20)), turns.run(work('b', 5)), turns.run(work('c', 0))];
  t.equal(await a, 'a');
  await t.rejects(b, { message: 'b' });
  t.equal(await c, 'c');
  t.same(steps, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});
