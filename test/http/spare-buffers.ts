import t from 'tap';
import { SpareBuffers } from '../../lib/http/spare-buffers.js';

t.test('a buffer that was given back is used again, and no buffer by two', (t) => {
  const spare = new SpareBuffers(100, 1);
  const [first, second] = [spare.take(), spare.take()];
  t.not(first, second);
  t.equal(first.length, 100);
  spare.give(first);
  spare.give(second);
  t.equal(spare.take(), first);
  t.not(spare.take(), second, 'more than are to be kept are let go');
  t.end();
});
