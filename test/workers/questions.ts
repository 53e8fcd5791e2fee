import t from 'tap';
import { Questions } from '../../lib/workers/questions.js';

t.test('each question gets its own answer', async (t) => {
  const questions = new Questions();
  const numbers: number[] = [];
  const [first, second] = [1, 2].map(() => questions.ask((ask) => numbers.push(ask)));
  questions.answer(numbers[1] ?? 0, 'it went wrong');
  questions.answer(numbers[0] ?? 0, undefined);
  questions.answer(numbers[0] ?? 0, 'too late');
  t.same(await Promise.all([first, second]), [undefined, 'it went wrong']);
});

t.test('whoever waits for a process that has gone goes on, and so does who asks it later', async (t) => {
  const questions = new Questions();
  const waiting = questions.ask(() => undefined);
  questions.end();
  t.equal(await waiting, undefined);
  t.equal(await questions.ask(() => t.fail('nobody is there')), undefined);
});
