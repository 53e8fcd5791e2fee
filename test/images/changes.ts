import t from 'tap';
import { type Change, Changes } from '../../lib/images/changes.js';

t.test('a change is told to everybody who listens, in order, until they no longer do', (t) => {
  const changes = new Changes((error) => t.error(error));
  const heard: [who: string, change: Change][] = [];
  const end = changes.subscribe((change) => heard.push(['one', change]));
  changes.subscribe((change) => heard.push(['other', change]));
  const change = { kind: 'file-removed', place: 'iso', name: 'a.iso' } as const;
  changes.publish(change);
  end();
  end();
  changes.publish({ ...change, name: 'b.iso' });
  t.same(heard, [
    ['one', change],
    ['other', change],
    ['other', { ...change, name: 'b.iso' }],
  ]);
  t.end();
});

t.test('a listener that fails is reported, and the others are told all the same', (t) => {
  const reported: unknown[] = [];
  const changes = new Changes((error) => reported.push(error));
  const heard: Change[] = [];
  changes.subscribe(() => {
    throw new RangeError('Invalid time value');
  });
  changes.subscribe((change) => heard.push(change));
  changes.publish({ kind: 'file-removed', place: 'iso', name: 'a.iso' });
  t.equal(heard.length, 1);
  t.match(reported, [{ message: 'Invalid time value' }]);
  t.end();
});
