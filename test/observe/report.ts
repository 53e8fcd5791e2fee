import t from 'tap';
import { longest, mostTransfers } from '../../lib/observe/report.js';

t.test('of many transfers the longest are shown', (t) => {
  const all = Array.from({ length: 500 }, (_, index) => ({ since: (index * 7919) % 500 }));
  t.same(
    longest(all),
    Array.from({ length: mostTransfers }, (_, since) => ({ since })),
  );
  t.equal(all[1]?.since, 419, 'what came is as it was');
  t.end();
});
