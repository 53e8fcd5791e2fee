import t from 'tap';
import { Rate } from '../../lib/images/rate.js';

interface Case {
  readonly what: string;
  /** What comes: how much, and when, in milliseconds. */
  readonly added: readonly (readonly [amount: number, at: number])[];
  readonly now: number;
  readonly perSecond: number;
}

const cases: readonly Case[] = [
  { what: 'nothing has come', added: [], now: 0, perSecond: 0 },
  { what: 'something comes at this moment', added: [[500, 0]], now: 0, perSecond: 100 },
  {
    what: 'it is steady',
    added: Array.from({ length: 50 }, (_, index) => [10, index * 100]),
    now: 4999,
    perSecond: 100,
  },
  {
    what: 'it was fast once and is slow now',
    added: [
      [1_000_000, 0],
      [50, 6000],
    ],
    now: 6000,
    perSecond: 10,
  },
  { what: 'the last second of five has passed', added: [[500, 0]], now: 5000, perSecond: 0 },
  { what: 'all but the last millisecond has passed', added: [[500, 0]], now: 4999, perSecond: 100 },
  {
    what: 'much comes in one moment',
    added: [
      [5, 1000],
      [10, 1000],
      [15, 1050],
      [20, 1099],
    ],
    now: 1100,
    perSecond: 10,
  },
  {
    what: 'what came in one moment grows old as one',
    added: [
      [500, 1000],
      [500, 1099],
    ],
    now: 6000,
    perSecond: 0,
  },
  {
    what: 'it does not come to a whole number',
    added: [
      [1, 0],
      [1, 200],
      [1, 400],
    ],
    now: 400,
    perSecond: 1,
  },
];

for (const { what, added, now, perSecond } of cases) {
  t.test(`the rate is ${perSecond} a second when ${what}`, (t) => {
    const rate = new Rate();
    for (const [amount, at] of added) rate.add(amount, at);
    t.equal(rate.perSecond(now), perSecond);
    t.end();
  });
}

t.test('the rate falls to nothing when nothing comes any more', (t) => {
  const rate = new Rate();
  for (let at = 0; at < 10_000; at += 10) rate.add(1, at);
  const after = [0, 1000, 2000, 3000, 4000, 5000].map((later) => rate.perSecond(9_990 + later));
  t.same(
    after,
    after.toSorted((a, b) => b - a),
  );
  t.ok(Math.abs((after[0] ?? 0) - 100) <= 2, `${after[0] ?? 0} of 100`);
  t.equal(after.at(-1), 0);
  rate.add(5, 20_000);
  t.equal(rate.perSecond(20_000), 1, 'and rises again');
  t.end();
});

t.test('without a clock of its own a rate goes by that of the machine', (t) => {
  const rate = new Rate();
  rate.add(5000);
  t.equal(rate.perSecond(), 1000);
  t.end();
});
