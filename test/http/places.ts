import t from 'tap';
import { type Guest, Places } from '../../lib/http/places.js';
import { ManualClock } from '../fixtures/manual-clock.js';

/** A room with places, in which guests tell what happens to them. */
class Room {
  readonly clock = new ManualClock();
  readonly places: Places;
  readonly #told: string[] = [];

  constructor(limit: number) {
    this.places = new Places(limit, 15_000, this.clock, limit);
  }

  /** A guest that has come, and has not asked for anything. */
  guest(name: string, returns = false): Guest {
    const tell = (what: string) => () => void this.#told.push(`${name} ${what}`);
    const guest: Guest = {
      returns,
      serve: tell('served'),
      wait: tell('waits'),
      refuse: tell('refused'),
      close: tell('closed'),
    };
    this.places.enter(guest);
    return guest;
  }

  /** A guest that asks as soon as it has come. */
  asking(name: string, returns = false): Guest {
    const guest = this.guest(name, returns);
    this.places.ask(guest);
    return guest;
  }

  /** What happened since the last time. */
  get told(): string[] {
    return this.#told.splice(0);
  }
}

t.test('there are so many places, and the next ones wait in the order in which they came', (t) => {
  const room = new Room(2);
  const [a, b] = [room.asking('a'), room.asking('b')];
  t.same(room.told, ['a served', 'b served']);
  t.notOk(room.places.isWanted);
  for (const name of ['c', 'd']) room.asking(name);
  t.same(room.told, ['c waits', 'd waits']);
  t.ok(room.places.isWanted);
  room.places.leave(b);
  t.same(room.told, ['c served']);
  room.places.leave(a);
  t.same(room.told, ['d served']);
  t.notOk(room.places.isWanted);
  t.end();
});

t.test('who is served asks again without waiting, whoever is in line', (t) => {
  const room = new Room(1);
  const a = room.asking('a');
  room.asking('b');
  room.places.rest(a);
  room.places.ask(a);
  t.same(room.told, ['a served', 'b waits', 'a served']);
  t.end();
});

t.test('who comes again by itself is told to, even when there is room in the line', (t) => {
  const room = new Room(2);
  room.asking('a', true);
  const b = room.asking('b');
  room.asking('c', true);
  t.same(room.told, ['a served', 'b served', 'c refused']);
  room.places.leave(b);
  t.same(room.told, [], 'and has no claim to a place');
  room.asking('d', true);
  t.same(room.told, ['d served']);
  t.end();
});

t.test('the line is as long as there are places; who comes behind it is refused', (t) => {
  const room = new Room(2);
  for (const name of ['a', 'b', 'c', 'd', 'e']) room.asking(name);
  t.same(room.told.slice(2), ['c waits', 'd waits', 'e refused']);
  t.end();
});

t.test('who waits and leaves is forgotten', (t) => {
  const room = new Room(1);
  const a = room.asking('a');
  const b = room.asking('b');
  room.places.leave(b);
  t.notOk(room.places.isWanted);
  room.asking('c');
  room.places.leave(a);
  t.same(room.told, ['a served', 'b waits', 'c waits', 'c served']);
  t.end();
});

t.test('who waits can be refused, and loses its place in the line', (t) => {
  const room = new Room(1);
  const a = room.asking('a');
  const b = room.asking('b');
  room.places.refuse(b);
  room.places.leave(a);
  t.same(room.told, ['a served', 'b waits', 'b refused']);
  t.end();
});

t.test('who has been idle longest makes room, when it has been for long enough', async (t) => {
  const room = new Room(3);
  const [a, b, c] = [room.asking('a'), room.asking('b'), room.asking('c')];
  room.places.rest(b);
  await room.clock.advance(1000);
  room.places.rest(a);
  room.places.rest(c);
  room.places.ask(c);
  t.same(room.told.slice(3), ['c served']);
  await room.clock.advance(100_000);
  t.same(room.told, [], 'nobody is closed for nobody');
  t.equal(room.clock.timers, 0);
  room.asking('d');
  t.same(room.told, ['d waits', 'b closed', 'd served']);
  room.asking('e');
  t.same(room.told, ['e waits', 'a closed', 'e served']);
  room.asking('f');
  t.same(room.told, ['f waits'], 'who is not idle stays');
  room.places.leave(b);
  t.same(room.told, [], 'who was closed has no place to leave');
});

t.test('what an idle client was promised is kept', async (t) => {
  const room = new Room(2);
  const [a, b] = [room.asking('a'), room.asking('b')];
  room.places.rest(a);
  await room.clock.advance(5000);
  room.places.rest(b);
  room.asking('c');
  room.asking('d');
  await room.clock.advance(9999);
  t.same(room.told.slice(2), ['c waits', 'd waits']);
  await room.clock.advance(1);
  t.same(room.told, ['a closed', 'c served']);
  await room.clock.advance(4999);
  t.same(room.told, []);
  await room.clock.advance(1);
  t.same(room.told, ['b closed', 'd served']);
  t.equal(room.clock.timers, 0);
});

t.test('who becomes idle while others wait is closed in time too', async (t) => {
  const room = new Room(1);
  const a = room.asking('a');
  room.asking('b');
  await room.clock.advance(60_000);
  room.places.rest(a);
  await room.clock.advance(10_000);
  room.places.ask(a);
  await room.clock.advance(60_000);
  room.places.rest(a);
  t.same(room.told, ['a served', 'b waits', 'a served']);
  await room.clock.advance(15_000);
  t.same(room.told, ['a closed', 'b served']);
});

t.test('no timer runs when nobody waits any more', async (t) => {
  const room = new Room(1);
  const a = room.asking('a');
  room.places.rest(a);
  const b = room.asking('b');
  t.equal(room.clock.timers, 1);
  room.places.leave(b);
  t.equal(room.clock.timers, 0);
  await room.clock.advance(100_000);
  t.same(room.told, ['a served', 'b waits']);
});

t.test('of those that have no place and do not wait, the oldest makes room', (t) => {
  const room = new Room(2);
  const silent = room.guest('silent');
  for (const name of ['a', 'b', 'c', 'd', 'e']) room.asking(name);
  t.same(room.told.slice(4), ['e refused']);
  room.guest('f');
  t.same(room.told, ['silent closed']);
  room.places.leave(silent);
  room.guest('g');
  t.same(room.told, ['e closed']);
  t.end();
});

t.test('behind the end nobody is served: those that wait are refused, and the idle ones closed', async (t) => {
  const room = new Room(2);
  const [a, b] = [room.asking('a'), room.asking('b')];
  room.places.rest(a);
  const c = room.asking('c');
  room.asking('d');
  t.equal(room.clock.timers, 1);
  t.same(room.told.slice(2), ['c waits', 'd waits']);
  room.places.close();
  t.same(room.told, ['c refused', 'd refused', 'a closed']);
  t.equal(room.clock.timers, 0);
  t.ok(room.places.isWanted);
  for (const guest of [a, c]) room.places.leave(guest);
  room.asking('e');
  t.same(room.told, ['e refused']);
  room.places.rest(b);
  t.same(room.told, ['b closed']);
  await room.clock.advance(100_000);
  t.same(room.told, []);
});

t.test('without a limit nobody waits', (t) => {
  const room = new Room(Infinity);
  for (let index = 0; index < 1000; index += 1) room.asking('guest', index % 2 === 0);
  t.ok(room.told.every((told) => told === 'guest served'));
  t.end();
});
