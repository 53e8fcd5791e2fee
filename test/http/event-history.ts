import fc from 'fast-check';
import t from 'tap';
import { EventHistory } from '../../lib/http/event-history.js';

const all = 2 ** 30;

function numbers(history: EventHistory, after: number): number[] {
  return history.after(after, all).map(({ number }) => number);
}

t.test('an event goes out with id, name and its data in one line', (t) => {
  const history = new EventHistory();
  history.add('image', { name: 'a\nb\r\u2028' });
  const [event] = history.after(0, all);
  t.match(event?.text, /^id: [0-9a-f]{8}-1\nevent: image\ndata: \{"name":"a\\nb\\r\u2028"\}\n\n$/);
  t.end();
});

t.test('ids are numbers of this run, and no other text is one', (t) => {
  const history = new EventHistory();
  history.add('a', 1);
  const id = history.idOf(1);
  t.equal(history.numberOf(id), 1);
  t.equal(history.numberOf(history.idOf(0)), 0);
  const run = id.split('-')[0] ?? '';
  for (const other of ['', '1', `${run}-2`, `${run}--1`, `${run}-1 `, `${run}-`, `00000000-1`, `${run}-1e0`]) {
    t.equal(history.numberOf(other), undefined, other);
  }
  t.not(new EventHistory().idOf(1), id, 'another run has other ids');
  t.end();
});

t.test('what is too much is given up from the oldest on, by number and by size', (t) => {
  const few = new EventHistory({ events: 3, characters: all });
  for (let count = 1; count <= 5; count++) few.add('a', count);
  t.same(numbers(few, 2), [3, 4, 5]);
  t.ok(few.reaches(2));
  t.notOk(few.reaches(1));
  const small = new EventHistory({ events: all, characters: 250 });
  for (let count = 1; count <= 5; count++) small.add('a', 'x'.repeat(60));
  t.same(numbers(small, 3), [4, 5]);
  t.notOk(small.reaches(2));
  const none = new EventHistory({ events: all, characters: 10 });
  none.add('a', 'larger than that');
  t.same(numbers(none, 0), []);
  t.notOk(none.reaches(0));
  t.ok(none.reaches(1));
  t.end();
});

t.test('of one subject only the latest event is kept, and nobody has missed anything by that', (t) => {
  const history = new EventHistory();
  history.add('progress', 1, 'x');
  history.add('image', 2);
  history.add('progress', 3, 'y');
  history.add('progress', 4, 'x');
  t.same(numbers(history, 0), [2, 3, 4]);
  t.same(numbers(history, 1), [2, 3, 4], 'also for whoever has got the one that is gone');
  t.same(numbers(history, 3), [4]);
  t.ok(history.reaches(0));
  t.end();
});

t.test('about as much is given at a time as was asked for, and one event at least', (t) => {
  const history = new EventHistory();
  for (let count = 1; count <= 5; count++) history.add('a', 'x'.repeat(100));
  t.equal(history.after(0, 1).length, 1);
  t.equal(history.after(0, 200).length, 2);
  t.end();
});

t.test('whoever is reached gets each event once and in order, but for progress that is out of date', (t) => {
  const event = fc.record({ size: fc.nat(40), subject: fc.option(fc.constantFrom('x', 'y'), { nil: undefined }) });
  const limits = fc.record({ events: fc.integer({ min: 1, max: 8 }), characters: fc.integer({ min: 60, max: 600 }) });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), limits, fc.nat(30), (events, limits, position) => {
      const history = new EventHistory(limits);
      for (const { size, subject } of events) history.add('e', 'x'.repeat(size), subject);
      if (position > history.last || !history.reaches(position)) return true;
      const got = numbers(history, position);
      const isWanted = (number: number) => {
        const subject = events[number - 1]?.subject;
        const isLatest = events.findLastIndex((other) => other.subject === subject) === number - 1;
        return number > position && (subject === undefined || isLatest);
      };
      const wanted = events.map((_, index) => index + 1).filter(isWanted);
      return JSON.stringify(got) === JSON.stringify(wanted);
    }),
  );
  t.end();
});
