import t from 'tap';
import { Tally } from '../../lib/observe/tally.js';

const image = { route: 'image', item: 'a/1', hasFiles: true };

t.test('requests are counted by route and status, and bytes of files by what they belong to', (t) => {
  const tally = new Tally();
  for (const bytes of [10, 20]) tally.add(image, 206, bytes);
  tally.add(image, 404, 5);
  tally.add({ route: 'image', item: 'b/1', hasFiles: true }, 206, 7);
  tally.add({ route: '/images' }, 200, 1000);
  tally.add(undefined, 400, 1000);
  t.same(tally.take(), {
    requests: [
      ['image', 206, 2],
      ['image', 404, 1],
      ['image', 206, 1],
      ['/images', 200, 1],
      ['none', 400, 1],
    ],
    sent: [
      ['image', 'a/1', 35],
      ['image', 'b/1', 7],
    ],
  });
  t.end();
});

t.test('what was told once is not told again', (t) => {
  const tally = new Tally();
  tally.add(image, 200, 10);
  tally.take();
  t.same(tally.take(), { requests: [], sent: [] });
  tally.add(image, 200, 0);
  t.same(tally.take(), { requests: [['image', 200, 1]], sent: [] });
  t.end();
});

t.test('bytes of an answer count while it is under way', (t) => {
  const tally = new Tally();
  tally.addBytes(image, 100);
  t.same(tally.take(), { requests: [], sent: [['image', 'a/1', 100]] });
  tally.addBytes(image, 0);
  t.same(tally.take(), { requests: [], sent: [] });
  t.end();
});
