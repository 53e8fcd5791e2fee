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

t.test('when the shelf is full, the chunk that was unused longest goes first, and is remembered', (t) => {
  const shelf = new Shelf(10, 4);
  const keys = ['a', 'b', 'c', 'd'];
  for (const key of keys) put(shelf, key);
  shelf.find('a');
  put(shelf, 'new');
  t.same(found(shelf, [...keys, 'new']), ['a', 'c', 'd', 'new']);
  t.ok(shelf.wasWanted('b'));
  t.end();
});

t.test('memory that is lent and given back is the first to be lent again', (t) => {
  const shelf = new Shelf(10, 8, 2);
  const [one, two] = [shelf.borrow(), shelf.borrow()];
  t.not(one, two);
  t.equal(shelf.borrow(), undefined);
  if (one) shelf.giveBack(one, true);
  if (two) shelf.giveBack(two, true);
  t.equal(shelf.borrow(), two);
  t.equal(shelf.borrow(), one);
  t.end();
});

t.test('what is lent and chunks do not take the room of each other', (t) => {
  const shelf = new Shelf(10, 2, 1);
  const chunks = [put(shelf, 'a'), put(shelf, 'b')];
  const lent = shelf.borrow();
  t.not(lent, undefined);
  t.equal(shelf.borrow(), undefined);
  t.same(found(shelf, ['a', 'b']), ['a', 'b']);
  if (lent) shelf.giveBack(lent, true);
  t.ok(chunks.some(({ buffer }) => buffer === put(shelf, 'c').buffer));
  t.end();
});

t.test('memory that somebody below may still read is not used again, and leaves room for other', (t) => {
  const shelf = new Shelf(10, 1, 1);
  const lent = shelf.borrow();
  if (lent) shelf.giveBack(lent, false);
  const next = shelf.borrow();
  t.not(next, undefined);
  t.not(next, lent);
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
