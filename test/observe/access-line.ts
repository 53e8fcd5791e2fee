import t from 'tap';
import { accessLine, shownTarget } from '../../lib/observe/access-line.js';

t.test('a line tells client, method, path, status, bytes and milliseconds, and of several requests how many', (t) => {
  const access = { client: '10.0.0.9', method: 'GET', target: '/a/1/b', status: 206, bytes: 70, milliseconds: 8.6 };
  t.equal(accessLine({ ...access, requests: 1 }), '10.0.0.9 GET /a/1/b 206 70 bytes 9 ms');
  t.equal(accessLine({ ...access, requests: 500 }), '10.0.0.9 GET /a/1/b 206 70 bytes 9 ms 500 requests');
  t.end();
});

t.test('nothing is shown of a target that may be secret', (t) => {
  const cases: [target: string, shown: string][] = [
    ['/', '/'],
    ['/a%20b/c@d', '/a%20b/c@d'],
    ['/a?', '/a?…'],
    ['/images?name=a&isoweb=http://me:secret@mirror/a.iso', '/images?…'],
    ['http://me:secret@proxy/a@b', 'http://proxy/a@b'],
    ['http://me:secret@proxy/a?token=secret', 'http://proxy/a?…'],
    ['http://proxy/a@b', 'http://proxy/a@b'],
    ['me:secret@proxy:443', 'proxy:443'],
    ['*', '*'],
    ['', ''],
    [`/${'a'.repeat(3000)}`, `/${'a'.repeat(1999)}…`],
  ];
  for (const [target, shown] of cases) t.equal(shownTarget(target), shown, target.slice(0, 60));
  t.end();
});
