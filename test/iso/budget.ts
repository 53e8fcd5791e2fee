import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { Budget } from '../../lib/iso/budget.js';

t.test('work ends with an error once everything is spent', (t) => {
  const work = new Budget(10);
  work.spend(4);
  work.spend(6);
  t.throws(() => work.spend(1), { name: 'ServiceError', code: 'BROKEN_ISO' });
  t.throws(() => work.spend(0), ServiceError, 'and does not come back');
  t.end();
});

t.test('a million entries are no more than one request may cost', (t) => {
  const work = new Budget();
  t.doesNotThrow(() => work.spend(1_000_000));
  t.throws(() => work.spend(10_000_000), { code: 'BROKEN_ISO' });
  t.end();
});
