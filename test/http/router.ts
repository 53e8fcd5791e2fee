import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { send } from '../../lib/http/reply.js';
import { type Handler, type Route, answerMethod, createRouter } from '../../lib/http/router.js';
import { ask, json } from '../fixtures/client.js';
import { everywhere, startHttp } from '../fixtures/http-server.js';

const say =
  (name: string): Handler =>
  (exchange, parameters) =>
    send(exchange, 200, 'text/plain', `${name} ${JSON.stringify(parameters)}`);

const routes: readonly Route[] = [
  ['GET', '/', say('page')],
  ['GET', '/images', say('list')],
  ['PUT', '/images', say('create')],
  ['GET', '/images/:id', say('one')],
  ['POST', '/:store/:name/part', say('part')],
];

t.test('a route is found by method and path, and gets the segments that have a name', async (t) => {
  const { url } = await startHttp(t, () => createRouter(routes));
  const cases: [method: string, path: string, text: string][] = [
    ['GET', '/', 'page {}'],
    ['GET', '/images', 'list {}'],
    ['GET', '/images/', 'list {}'],
    ['GET', '/images?id=1', 'list {}'],
    ['PUT', '/images', 'create {}'],
    ['GET', '/images/a%20b', 'one {"id":"a b"}'],
    ['GET', '/images/__proto__', 'one {"id":"__proto__"}'],
    ['POST', '/iso/x/part', 'part {"store":"iso","name":"x"}'],
  ];
  for (const [method, path, text] of cases) {
    const answer = await ask(url, path, { method });
    t.same([answer.status, answer.text], [200, text], `${method} ${path}`);
  }
});

t.test('HEAD takes the route of GET', async (t) => {
  const { url } = await startHttp(t, () => createRouter(routes));
  const answer = await ask(url, '/images', { method: 'HEAD' });
  t.same([answer.status, answer.text, answer.headers['content-length']], [200, '', '7']);
});

t.test('a path that no route has is left to the next application', async (t) => {
  const { url } = await startHttp(t, (log) => [
    createRouter(routes),
    ...[everywhere((exchange) => Promise.resolve(say('next')(exchange, {})))(log)],
  ]);
  for (const path of ['/other', '/images/a/b', '/Images', '/iso/x/parts']) {
    t.equal((await ask(url, path)).text, 'next {}', path);
    t.equal((await ask(url, path, { method: 'DELETE' })).text, 'next {}', path);
  }
});

t.test('OPTIONS and a method that the resource lacks say what is allowed', async (t) => {
  const { url } = await startHttp(t, () => createRouter(routes));
  const cases: [path: string, allow: string][] = [
    ['/', 'GET, HEAD, OPTIONS'],
    ['/images', 'GET, HEAD, PUT, OPTIONS'],
    ['/a/b/part', 'POST, OPTIONS'],
  ];
  for (const [path, allow] of cases) {
    const options = await ask(url, path, { method: 'OPTIONS' });
    t.same([options.status, options.headers.allow, options.text], [204, allow, ''], path);
    for (const method of ['DELETE', 'PROPFIND', 'TRACE', 'PATCH']) {
      const refused = await ask(url, path, { method });
      t.same([refused.status, refused.headers.allow], [405, allow], `${method} ${path}`);
      t.same(json(refused), {
        message: `${method} is not possible here; allowed: ${allow}`,
        code: 'METHOD_NOT_ALLOWED',
      });
    }
  }
  t.equal((await ask(url, '/a/b/part', { method: 'HEAD' })).status, 405, 'no HEAD without GET');
});

t.test('a handler that throws is answered by its error', async (t) => {
  const refuse = () => {
    throw new ServiceError('IN_USE', 'An image uses it');
  };
  const later = () => Promise.reject(new ServiceError('BUSY', 'It is being written'));
  const { url } = await startHttp(t, () =>
    createRouter([
      ['GET', '/now', refuse],
      ['GET', '/later', later],
    ]),
  );
  t.match(json(await ask(url, '/now')), { code: 'IN_USE' });
  t.match(json(await ask(url, '/later')), { code: 'BUSY' });
});

t.test('an application without routes answers methods the same way', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere((exchange) => Promise.resolve(exchange).then((asked) => answerMethod(asked, 'GET'))),
  );
  t.equal((await ask(url, '/', { method: 'OPTIONS' })).headers.allow, 'GET');
  t.equal((await ask(url, '/', { method: 'POST', body: 'some' })).status, 405);
});

t.test('a guard sees each request for a path of the table before its method and body are looked at', async (t) => {
  const seen: string[] = [];
  const { url } = await startHttp(t, () =>
    createRouter(routes, (exchange, path) => {
      seen.push(`${exchange.request.method ?? ''} ${path}`);
      const isAllowed = exchange.query.has('allowed');
      return isAllowed ? Promise.resolve() : Promise.reject(new ServiceError('FORBIDDEN', 'not you'));
    }),
  );
  const cases: [method: string, path: string, status: number, seenAs: string | undefined][] = [
    ['GET', '/images?allowed', 200, 'GET /images'],
    ['GET', '/images', 403, 'GET /images'],
    ['HEAD', '/images/x', 403, 'HEAD /images/:id'],
    ['DELETE', '/images', 403, 'DELETE /images'],
    ['DELETE', '/images?allowed', 405, 'DELETE /images'],
    ['GET', '/none', 404, undefined],
  ];
  for (const [method, path, status, seenAs] of cases) {
    t.equal((await ask(url, path, { method })).status, status, `${method} ${path}`);
    t.equal(seen.pop(), seenAs, `${method} ${path}`);
  }
});

t.test('an exchange says by which route it went, and not by which path', async (t) => {
  const subjects: unknown[] = [];
  const { url } = await startHttp(t, () => async (exchange) => {
    const isAnswered = await createRouter(routes)(exchange).finally(() => subjects.push(exchange.subject?.route));
    if (!isAnswered) send(exchange, 404, 'text/plain', '');
    return true;
  });
  for (const path of ['/', '/images/1', '/images/2', '/nothing/here']) await ask(url, path);
  await ask(url, '/images', { method: 'DELETE' });
  t.same(subjects, ['/', '/images/:id', '/images/:id', undefined, '/images']);
});
