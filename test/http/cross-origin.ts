import { hostname } from 'node:os';
import t, { type Test } from 'tap';
import { crossOrigin } from '../../lib/http/cross-origin.js';
import { send } from '../../lib/http/reply.js';
import { createRouter } from '../../lib/http/router.js';
import { type Answer, ask, json } from '../fixtures/client.js';
import { startHttp } from '../fixtures/http-server.js';

const portal = 'https://portal.example.com';
const methods = ['GET', 'PUT', 'POST', 'DELETE'] as const;

/** A server that says `done` to every method, and what asks it. */
async function start(t: Test, isReadOnly = false) {
  const rules = isReadOnly ? ({ isReadOnly: true } as const) : ({ isReadOnly: false, origins: [portal] } as const);
  const router = createRouter(
    methods.map((method) => [method, '/', (exchange) => send(exchange, 200, 'text/plain', 'done')]),
  );
  const { url } = await startHttp(t, () => crossOrigin(rules, router));
  return (method: string, headers: Record<string, string> = {}): Promise<Answer> => ask(url, '/', { method, headers });
}

t.test('who is no web page never notices', async (t) => {
  const send = await start(t);
  for (const host of ['10.0.0.1:7070', 'images.example.com', 'evil.example.com:7070']) {
    for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE']) {
      t.equal((await send(method, { host })).status, 200, `${method} ${host}`);
    }
  }
});

t.test('every page may read, and sees the headers, without credentials of the browser', async (t) => {
  const send = await start(t);
  for (const origin of [undefined, 'https://evil.example.com', 'null', portal]) {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers } = await send(method, origin === undefined ? {} : { origin });
      t.equal(status, 200);
      t.equal(headers['access-control-allow-origin'], '*');
      t.equal(headers['access-control-expose-headers'], '*');
      t.notOk('access-control-allow-credentials' in headers);
    }
  }
});

const own = hostname().toLowerCase();
const changes: readonly [what: string, host: string, headers: Record<string, string>, isAllowed: boolean][] = [
  ['a page of ours, by address', '10.0.0.1:7070', { origin: 'http://10.0.0.1:7070' }, true],
  ['a page of ours, by address of IPv6', '[fd00::1]:7070', { origin: 'http://[fd00::1]:7070' }, true],
  ['a page of ours, by localhost', 'localhost:7070', { origin: 'http://localhost:7070' }, true],
  ['a page of ours, by the name of the machine', `${own}:7070`, { origin: `http://${own}:7070` }, true],
  ['a page of ours, at the usual port', '10.0.0.1', { origin: 'http://10.0.0.1' }, true],
  ['a page of ours, at the usual port by number', '10.0.0.1:80', { origin: 'http://10.0.0.1' }, true],
  [
    'a page of ours, with https in front of us',
    '10.0.0.1',
    { origin: 'https://10.0.0.1', 'sec-fetch-site': 'same-origin' },
    true,
  ],
  ['a page of corsOrigins', '10.0.0.1:7070', { origin: portal }, true],
  [
    'a page of corsOrigins, behind a proxy',
    'portal.example.com',
    { origin: portal, 'sec-fetch-site': 'same-origin' },
    true,
  ],
  ['somebody who types', '10.0.0.1:7070', { 'sec-fetch-site': 'none' }, true],
  ['a page elsewhere', '10.0.0.1:7070', { origin: 'https://evil.example.com' }, false],
  [
    'a page whose name was bound to our address',
    'evil.example.com:7070',
    { origin: 'http://evil.example.com:7070' },
    false,
  ],
  ['the same with a dot', 'evil.example.com.:7070', { origin: 'http://evil.example.com.:7070' }, false],
  [
    'a name that begins like an address',
    '10.0.0.1.evil.example:7070',
    { origin: 'http://10.0.0.1.evil.example:7070' },
    false,
  ],
  ['a page of another port of ours', '10.0.0.1:7070', { origin: 'http://10.0.0.1:9090' }, false],
  ['a page of another address', '10.0.0.1:7070', { origin: 'http://10.0.0.2:7070' }, false],
  ['a page of another scheme', '10.0.0.1', { origin: 'https://10.0.0.1' }, false],
  ['a page without an origin', '10.0.0.1:7070', { origin: 'null' }, false],
  ['an origin that is none', '10.0.0.1:7070', { origin: 'http://10.0.0.1:7070/' }, false],
  ['two origins', '10.0.0.1:7070', { origin: 'http://10.0.0.1:7070, https://evil.example.com' }, false],
  ['an empty origin', '10.0.0.1:7070', { origin: '' }, false],
  ['a browser without Origin, elsewhere', '10.0.0.1:7070', { 'sec-fetch-site': 'cross-site' }, false],
  ['a browser without Origin, near', '10.0.0.1:7070', { 'sec-fetch-site': 'same-site' }, false],
  ['a scheme of corsOrigins in the clear', '10.0.0.1:7070', { origin: 'http://portal.example.com' }, false],
];

for (const [what, host, headers, isAllowed] of changes) {
  t.test(`${what} ${isAllowed ? 'may' : 'may not'} change anything, and may read`, async (t) => {
    const send = await start(t);
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
      const answer = await send(method, { host, ...headers });
      const expected = method === 'PATCH' ? 405 : 200;
      t.equal(answer.status, isAllowed ? expected : 403, method);
      if (isAllowed) continue;
      t.match(json(answer), { code: 'FORBIDDEN', message: /corsOrigins/ });
      if (headers['origin']) t.ok((json(answer) as { message: string }).message.includes(headers['origin']));
      t.notOk('access-control-allow-origin' in answer.headers);
    }
    t.equal((await send('GET', { host, ...headers })).status, 200);
  });
}

const preflight = (origin: string, method: string, more = {}) => ({
  ...{ origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization' },
  ...more,
});

t.test('a preflight lets the pages of corsOrigins change things, and send what that needs', async (t) => {
  const send = await start(t);
  for (const method of ['PUT', 'DELETE', 'POST', 'GET']) {
    const { status, headers } = await send('OPTIONS', preflight(portal, method));
    t.equal(status, 204);
    t.match(headers, { 'access-control-allow-origin': portal, vary: /Origin/, 'access-control-max-age': /^\d+$/ });
    t.match(headers['access-control-allow-methods'], /PUT.*DELETE/);
    t.match(headers['access-control-allow-headers'], /Authorization.*Content-Type/);
    t.notOk('access-control-allow-credentials' in headers);
  }
  const answer = await send('PUT', { origin: portal });
  t.match(answer.headers, { 'access-control-allow-origin': portal, vary: 'Origin' });
});

t.test('a preflight of any other page lets it read, without Authorization', async (t) => {
  const send = await start(t);
  const { status, headers } = await send('OPTIONS', preflight('https://evil.example.com', 'GET'));
  t.equal(status, 204);
  t.match(headers, { 'access-control-allow-origin': '*', 'access-control-allow-methods': 'GET, HEAD' });
  t.match(headers['access-control-allow-headers'], /Range/);
  t.notMatch(headers['access-control-allow-headers'], /authorization|\*/i);
  for (const method of ['PUT', 'DELETE', 'POST']) {
    const refused = await send('OPTIONS', preflight('https://evil.example.com', method));
    t.equal(refused.status, 403);
    t.match(json(refused), { message: /"https:\/\/evil\.example\.com".*corsOrigins/ });
    t.notOk('access-control-allow-origin' in refused.headers);
  }
});

t.test('OPTIONS that is no preflight says what there is', async (t) => {
  const send = await start(t);
  for (const headers of [{}, { origin: 'https://evil.example.com' }, { 'access-control-request-method': 'PUT' }]) {
    t.match(await send('OPTIONS', headers), { status: 204, headers: { allow: /PUT/ } });
  }
});

t.test('where nothing can be changed, every page reads and every preflight says so', async (t) => {
  const send = await start(t, true);
  for (const method of ['GET', 'PUT']) {
    const { status, headers } = await send('OPTIONS', preflight('https://evil.example.com', method));
    t.equal(status, 204);
    t.match(headers, { 'access-control-allow-origin': '*', 'access-control-allow-methods': 'GET, HEAD' });
  }
  t.equal((await send('GET', { origin: 'null' })).headers['access-control-allow-origin'], '*');
});
