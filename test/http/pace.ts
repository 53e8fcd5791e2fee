import t from 'tap';
import { ChangingRateLimit, type ClientPace, RateLimit } from '../../lib/http/pace.js';
import { ManualClock } from '../fixtures/manual-clock.js';

/** Takes pieces for as long as it is let, and counts what it got. */
class Download {
  bytes = 0;

  constructor(
    readonly pace: ClientPace,
    readonly length = Infinity,
  ) {}

  async run(): Promise<void> {
    while (this.bytes < this.length) {
      await this.pace.take(this.pace.bytes);
      this.bytes += this.pace.bytes;
    }
  }
}

function start(limit: RateLimit, address: string, length?: number): Download {
  const download = new Download(limit.paceOf(address), length);
  void download.run();
  return download;
}

t.test('a client gets its rate, and at first a tenth of a second at once', async (t) => {
  const clock = new ManualClock();
  const one = start(new RateLimit(1_000_000, clock), 'a', 10_000_000);
  await clock.advance(0);
  t.equal(one.bytes, 100_000, 'the burst');
  await clock.advance(1000);
  t.equal(one.bytes, 1_100_000);
  await clock.advance(4000);
  t.equal(one.bytes, 5_100_000);
});

t.test('all connections of an address share its rate in equal parts; another address has its own', async (t) => {
  const clock = new ManualClock();
  const limit = new RateLimit(1_000_000, clock);
  const shared = ['a', 'a', 'a', 'a'].map((address) => start(limit, address, 10_000_000));
  const other = start(limit, 'b', 10_000_000);
  await clock.advance(10_000);
  const got = shared.map(({ bytes }) => bytes);
  t.equal(
    got.reduce((sum, bytes) => sum + bytes),
    10_100_000,
  );
  const piece = other.pace.bytes;
  t.ok(Math.max(...got) - Math.min(...got) <= piece, got.join());
  t.equal(other.bytes, 10_000_000, 'as fast as if it were alone');
});

t.test('whoever asked first gets first, however little the next one wants', async (t) => {
  const clock = new ManualClock();
  const limit = new RateLimit(1000, clock);
  const order: string[] = [];
  const ask = (name: string, bytes: number) => void limit.paceOf('a').take(bytes).then(() => order.push(name)); // prettier-ignore
  ask('burst', 100);
  ask('large', 100);
  ask('small', 1);
  await clock.advance(99);
  t.same(order, ['burst']);
  await clock.advance(1);
  t.same(order, ['burst', 'large']);
  await clock.advance(1);
  t.same(order, ['burst', 'large', 'small']);
});

t.test('a limit of almost nothing still lets a byte go', async (t) => {
  for (const rate of [1, 3, 19]) {
    const clock = new ManualClock();
    const slow = start(new RateLimit(rate, clock), 'a', 1000);
    t.equal(slow.pace.bytes, 1);
    await clock.advance(10_000);
    t.ok(Math.abs(slow.bytes - 10 * rate) <= 2, `${slow.bytes} bytes of ${rate} a second`);
  }
});

t.test('more than is written at once is lent, and what follows waits for it', async (t) => {
  const clock = new ManualClock();
  const pace = new RateLimit(1000, clock).paceOf('a');
  await pace.take(1100);
  let granted = false;
  void pace.take(50).then(() => (granted = true));
  await clock.advance(1049);
  t.notOk(granted);
  await clock.advance(1);
  t.ok(granted);
});

t.test('a timer that is late costs nothing of the rate', async (t) => {
  const clock = new ManualClock();
  const late = {
    now: () => clock.now(),
    after: (milliseconds: number, callback: () => void) => clock.after(milliseconds + 30, callback),
  };
  const one = start(new RateLimit(1_000_000, late), 'a', 100_000_000);
  await clock.advance(10_000);
  t.ok(one.bytes >= 9_900_000, String(one.bytes));
});

t.test('a client that leaves is let out of the line at once, and the next one moves up', async (t) => {
  const clock = new ManualClock();
  const limit = new RateLimit(1000, clock);
  const [gone, stays] = [limit.paceOf('a'), limit.paceOf('a')];
  await gone.take(100);
  const order: string[] = [];
  void gone.take(100).then(() => order.push('gone'));
  void stays.take(50).then(() => order.push('stays'));
  gone.release();
  gone.release();
  await clock.advance(0);
  t.same(order, ['gone']);
  await gone.take(1_000_000);
  await clock.advance(50);
  t.same(order, ['gone', 'stays'], 'and what it did not take is not counted');
  t.equal(limit.addresses, 1);
  stays.release();
  await clock.advance(100);
  t.same([limit.addresses, clock.timers], [0, 0], 'nothing is left');
});

t.test('an address is forgotten, but not so soon that each request is a new client', async (t) => {
  const clock = new ManualClock();
  const limit = new RateLimit(100_000, clock);
  let bytes = 0;
  const files = async () => {
    while (clock.now() < 10_000) {
      const pace = limit.paceOf('a');
      await pace.take(4000);
      bytes += 4000;
      pace.release();
    }
  };
  void files();
  await clock.advance(10_000);
  t.ok(Math.abs(bytes - 1_000_000) <= 20_000, `${bytes} bytes in 10 s, a file after the other`);
  await clock.advance(200);
  t.same([limit.addresses, clock.timers], [0, 0]);
});

t.test('a thousand addresses leave nothing behind', async (t) => {
  const clock = new ManualClock();
  const limit = new RateLimit(1000, clock);
  for (let index = 0; index < 1000; index += 1) {
    const pace = limit.paceOf(`address ${index}`);
    if (index % 2 === 0) await pace.take(100);
    if (index % 3 === 0) void pace.take(100);
    pace.release();
  }
  await clock.advance(100);
  t.same([limit.addresses, clock.timers], [0, 0]);
});

t.test('a rate that changes holds for the answers that begin then, and 0 is no limit', (t) => {
  const clock = new ManualClock();
  let rate = 0;
  const limit = new ChangingRateLimit(() => rate, clock);
  t.equal(limit.paceOf('a'), undefined);
  rate = 1000;
  const first = limit.paceOf('a');
  t.equal(first?.bytes, 50);
  rate = 10_000;
  t.equal(limit.paceOf('a')?.bytes, 500);
  t.equal(first?.bytes, 50, 'an answer that has begun goes on as it was');
  rate = 0;
  t.equal(limit.paceOf('a'), undefined);
  t.end();
});

t.test('while a rate does not change all answers to an address share it', async (t) => {
  const clock = new ManualClock();
  const limit = new ChangingRateLimit(() => 1000, clock);
  let bytes = 0;
  for (const pace of [limit.paceOf('a'), limit.paceOf('a')]) void pace?.take(100).then(() => (bytes += 100));
  await clock.advance(0);
  t.equal(bytes, 100);
});
