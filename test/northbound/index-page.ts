import t from 'tap';
import { ask } from '../fixtures/client.js';
import { startTestService } from '../fixtures/service.js';

t.test('the page at / shows the version and every route', async (t) => {
  const { north } = await startTestService(t);
  const page = await ask(north, '/', { headers: { accept: 'text/html' } });
  t.equal(page.status, 200);
  t.match(page.headers['content-type'], /^text\/html/);
  t.match(page.headers, { 'x-frame-options': 'DENY', 'x-content-type-options': 'nosniff' });
  t.match(page.headers, { 'referrer-policy': 'same-origin', 'access-control-allow-origin': '*' });
  t.match(page.headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
  t.notMatch(page.headers['content-security-policy'], /unsafe/);
  t.notMatch(page.text, /<script|style=/);
  t.match(page.text, /image-service 0\.0\.0/);
  for (const row of ['GET</td><td><code>/images/:id', 'PUT</td><td><code>/iso', 'DELETE</td><td><code>/microkernel']) {
    t.ok(page.text.includes(row), row);
  }
});
