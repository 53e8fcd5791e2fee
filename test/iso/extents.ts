import t from 'tap';
import { hole } from '../../lib/iso/entries.js';
import { mergeExtents } from '../../lib/iso/extents.js';

t.test('extents that follow each other become one, and so do holes', (t) => {
  const extents = [
    { offset: 10, length: 5 },
    { offset: 15, length: 0 },
    { offset: 15, length: 1 },
    { offset: hole, length: 7 },
    { offset: hole, length: 8 },
    { offset: 16, length: 2 },
    { offset: 10, length: 1 },
  ];
  t.same(mergeExtents(extents), [
    { offset: 10, length: 6 },
    { offset: hole, length: 15 },
    { offset: 16, length: 2 },
    { offset: 10, length: 1 },
  ]);
  t.end();
});

t.test('what looks like the end of a hole is none', (t) => {
  const extents = [
    { offset: hole, length: 1 },
    { offset: 0, length: 1 },
  ];
  t.same(mergeExtents(extents), extents);
  t.end();
});

t.test('nothing stays nothing', (t) => {
  t.same(mergeExtents([]), []);
  t.same(mergeExtents([{ offset: 5, length: 0 }]), []);
  t.end();
});
