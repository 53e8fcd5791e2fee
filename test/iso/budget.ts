import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { Budget } from '../../lib/iso/budget.js';

t.test('work ends with an error once everything is spent', (t) => {
  const work = new Budget(1000);
  work.spend(1000);
  work.spend(3000);
  t.throws(() => work.spend(1), { name: 'ServiceError', code: 'BROKEN_ISO', message: /1000 .*mount\.maxEntries/ });
  t.throws(() => work.spend(0), ServiceError, 'and does not come back');
  t.end();
});

t.test('a million entries are no more than one request may cost', (t) => {
  const work = new Budget();
  t.doesNotThrow(() => work.spend(1_000_000));
  t.throws(() => work.spend(10_000_000), { code: 'BROKEN_ISO' });
  t.end();
});

t.test('as many entries as are set may be read, and not one more', (t) => {
  const work = new Budget(1000);
  t.doesNotThrow(() => work.addEntries(1000));
  t.throws(() => work.addEntries(1), { code: 'BROKEN_ISO', message: /mount\.maxEntries allows: 1000$/ });
  t.end();
});

t.test('a budget that has refused is spent', (t) => {
  const work = new Budget(1000);
  work.spend(4000);
  t.equal(work.isSpent, false, 'not yet, with all of it used');
  t.throws(() => work.spend(1));
  t.equal(work.isSpent, true);
  const entries = new Budget(1000);
  entries.addEntries(1000);
  t.equal(entries.isSpent, false);
  t.throws(() => entries.addEntries(1));
  t.equal(entries.isSpent, true);
  t.end();
});
