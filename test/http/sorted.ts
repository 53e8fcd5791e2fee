import t from 'tap';
import { sorted } from '../../lib/http/sorted.js';
import { Random } from '../fixtures/random.js';
import { countTurns } from '../fixtures/turns.js';

interface Item {
  readonly key: number;
  readonly place: number;
}

const byKey = (a: Item, b: Item) => a.key - b.key;

function randomItems(random: Random, count: number, keys: number): Item[] {
  return Array.from({ length: count }, (_, place) => ({ key: random.below(keys), place }));
}

t.test('any number of items comes in the order that sort would give them, equal ones as they were', async (t) => {
  const random = new Random(11);
  for (const count of [0, 1, 2, 999, 1000, 1001, 2000, 2001, 3500, 12_345]) {
    for (const keys of [1, 10, 1_000_000]) {
      const items = randomItems(random, count, keys);
      const before = [...items];
      const expected = [...items].sort(byKey);
      t.same([...(await sorted(items, byKey))], expected, `${count} items of ${keys} keys`);
      t.same(items, before);
    }
  }
});

t.test('many items are sorted in turns', async (t) => {
  const slow = (a: Item, b: Item) => {
    for (let turns = 0; turns < 100; turns += 1) Math.sqrt(turns);
    return byKey(a, b);
  };
  const items = randomItems(new Random(12), 200_000, 1_000_000);
  t.ok((await countTurns(sorted(items, slow))) > 5);
});

t.test('what fails to compare is an error', async (t) => {
  const broken = () => {
    throw new Error('broken');
  };
  await t.rejects(sorted([1, 2], broken), { message: 'broken' });
});
