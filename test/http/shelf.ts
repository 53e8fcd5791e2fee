import t from 'tap';
import { type Kept, Shelf } from '../../lib/http/shelf.js';

/** Puts a chunk on a shelf; it is in use until its users are none. */
function put(shelf: Shelf, key: string, users = 0): Kept {
  const kept = shelf.add(key, 4);
  if (kept === undefined) throw new Error(`no room for ${key}`);
  kept.users = users;
  return kept;
}

/** Which of the chunks are there; looking for them counts as wanting them. */
function found(shelf: Shelf, keys: readonly string[]): string[] {
  return keys.filter((key) => shelf.find(key) !== undefined);
}

t.test('buffers are made only until the shelf is full, and used again after that', (t) => {
  const shelf = new Shelf(10, 3);
  const buffers = new Set(Array.from({ length: 50 }, (_, index) => put(shelf, `${index}`).buffer));
  t.ok(buffers.size <= 3, `${buffers.size}`);
  t.ok([...buffers].every((buffer) => buffer.length === 10));
  t.equal(put(shelf, 'short').bytes.length, 4);
  t.end();
});

t.test('what is wanted by one only passes through, and what was wanted again stays', (t) => {
  const shelf = new Shelf(10, 16);
  const wanted = ['a', 'b', 'c'];
  for (const key of wanted) {
    put(shelf, key);
    shelf.find(key);
  }
  for (let index = 0; index < 1000; index++) put(shelf, `once ${index}`);
  t.same(found(shelf, wanted), wanted);
  t.equal(shelf.find('once 990'), undefined, 'an eighth of the room is for these');
  t.not(shelf.find('once 999'), undefined);
  t.end();
});

t.test('what comes back soon after it had to go stays the second time', (t) => {
  const shelf = new Shelf(10, 16);
  put(shelf, 'a');
  for (let index = 0; index < 10; index++) put(shelf, `once ${index}`);
  put(shelf, 'a');
  for (let index = 0; index < 100; index++) put(shelf, `again ${index}`);
  t.not(shelf.find('a'), undefined);
  t.end();
});

t.test('when the shelf is full of what was wanted again, the one unused longest goes first', (t) => {
  const shelf = new Shelf(10, 4);
  const keys = ['a', 'b', 'c', 'd'];
  for (const key of keys) {
    put(shelf, key);
    shelf.find(key);
  }
  shelf.find('a');
  put(shelf, 'new');
  t.same(found(shelf, [...keys, 'new']), ['a', 'c', 'd', 'new']);
  t.end();
});

t.test('what is in use is never taken away: when all is, there is no room', (t) => {
  const shelf = new Shelf(10, 4);
  const kept = ['a', 'b', 'c', 'd'].map((key) => put(shelf, key, 1));
  t.equal(shelf.add('e', 4), undefined);
  for (const { key, buffer } of kept) t.equal(shelf.find(key)?.buffer, buffer);
  const [, second] = kept;
  if (second !== undefined) second.users = 0;
  t.equal(shelf.add('e', 4)?.buffer, second?.buffer);
  t.equal(new Shelf(10, 0).add('a', 4), undefined, 'a shelf without room');
  t.end();
});

t.test('a chunk that was removed is not found, and its buffer is free when that is said', (t) => {
  const shelf = new Shelf(10, 1);
  const kept = put(shelf, 'a', 1);
  shelf.remove(kept);
  t.equal(shelf.find('a'), undefined);
  t.equal(shelf.add('b', 4), undefined, 'it is in use still');
  shelf.free(kept);
  const next = put(shelf, 'a', 1);
  t.equal(next.buffer, kept.buffer);
  shelf.remove(kept);
  t.equal(shelf.find('a'), next, 'another chunk of that name is not what is removed');
  next.isLost = true;
  shelf.remove(next);
  shelf.free(next);
  t.not(put(shelf, 'b').buffer, next.buffer, 'a buffer that somebody may read at any time is not used again');
  t.end();
});

t.test('it remembers what was wanted lately, and no more than it has room for', (t) => {
  const shelf = new Shelf(10, 2);
  t.same(
    ['a', 'b', 'a'].map((key) => shelf.wasWanted(key)),
    [false, false, true],
  );
  shelf.wasWanted('c');
  t.same(['b', 'c', 'a'].map((key) => shelf.wasWanted(key)), [true, true, false]); // prettier-ignore
  t.end();
});
