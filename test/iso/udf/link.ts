import t from 'tap';
import { readTarget } from '../../../lib/iso/udf/link.js';
import { component, linkData } from '../../fixtures/udf-builder.js';

t.test('a link points where its components lead', (t) => {
  for (const target of ['a', 'a/b', '../..', './a', 'a/../b', '/', '/etc/passwd', '/..', 'ünï ☃', '..', '.']) {
    t.equal(readTarget(linkData(target)), target);
  }
  t.end();
});

t.test('a root starts the path anew', (t) => {
  t.equal(readTarget(Buffer.concat([component(5, 'a'), component(2), component(5, 'b')])), '/b');
  t.equal(readTarget(Buffer.concat([component(1), component(5, 'b')])), '/b', 'one that is agreed on too');
  t.equal(readTarget(Buffer.concat([component(1, 'who'), component(5, 'b')])), 'b', 'if it has no name');
  t.end();
});

t.test('a slash in a component is no separator', (t) => {
  t.match(readTarget(component(5, 'a/../../b')), /^a_[^/]+$/);
  t.match(readTarget(component(5, '..')), /^\.\.#[0-9A-F]{4}$/);
  t.end();
});

t.test('components of unknown types are left out', (t) => {
  t.equal(readTarget(Buffer.concat([component(0), component(6, 'x'), component(5, 'a'), component(255)])), 'a');
  t.end();
});

t.test('a broken link has no target', (t) => {
  const cut = component(5, 'abc');
  t.equal(readTarget(cut.subarray(0, cut.length - 1)), undefined, 'a component that leaves the data');
  t.equal(readTarget(Buffer.concat([component(5, 'a'), component(5, Buffer.from([7, 65]))])), undefined, 'no text');
  t.equal(readTarget(component(5, 'a\nb')), undefined, 'a control character');
  t.equal(readTarget(component(5)), undefined, 'a name of no bytes');
  t.equal(readTarget(Buffer.alloc(0)), undefined);
  t.equal(readTarget(Buffer.from([5, 0, 0])), undefined, 'less than a component');
  t.end();
});
