import t from 'tap';
import { Lane } from '../../lib/access/lane.js';
import { deferred } from '../fixtures/http-server.js';

t.test('one goes on at a time, sixteen wait, and the next one is refused before it begins', async (t) => {
  const lane = new Lane();
  const first = deferred();
  let running = 0;
  const work = async () => {
    running += 1;
    t.equal(running, 1);
    await first.promise;
    running -= 1;
  };
  const inside = Array.from({ length: 17 }, () => lane.run(work));
  await t.rejects(
    lane.run(() => Promise.reject(new Error('it began'))),
    { code: 'UNAVAILABLE' },
  );
  first.resolve();
  await Promise.all(inside);
  t.equal(await lane.run(() => Promise.resolve('room again')), 'room again');
});

t.test('what fails leaves its place', async (t) => {
  const lane = new Lane();
  for (let attempt = 0; attempt < 40; attempt++) {
    await t.rejects(
      lane.run(() => Promise.reject(new Error('no'))),
      { message: 'no' },
    );
  }
});
