import t from 'tap';
import { SpareBuffers } from '../../lib/http/spare-buffers.js';

t.test('a buffer that was given back is used again, and no buffer by two', (t) => {
  const spare = new SpareBuffers(100, 1);
  const [first, second] = [spare.take(), spare.take()];
  t.not(first, second);
  t.equal(first.length, 100);
  t.equal(spare.taken, 2);
  spare.give(first, true);
  spare.give(second, true);
  t.equal(spare.taken, 0);
  t.equal(spare.take(), first);
  t.not(spare.take(), second, 'more than are to be kept are let go');
  t.end();
});

t.test('a buffer that somebody may still read is given back, and not used again', (t) => {
  const spare = new SpareBuffers(100, 1);
  const buffer = spare.take();
  spare.give(buffer, false);
  t.equal(spare.taken, 0);
  t.not(spare.take(), buffer);
  t.end();
});
