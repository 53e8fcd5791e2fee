import t from 'tap';
import { ask, json, talk } from '../fixtures/client.js';
import { startTestService } from '../fixtures/service.js';

t.test('each resource says which methods it has', async (t) => {
  const { north } = await startTestService(t);
  const cases: [path: string, allow: string][] = [
    ['/images', 'GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS'],
    ['/images/some-id', 'GET, HEAD, OPTIONS'],
    ['/iso', 'GET, HEAD, PUT, POST, DELETE, OPTIONS'],
    ['/microkernel', 'GET, HEAD, PUT, POST, DELETE, OPTIONS'],
    ['/status', 'GET, HEAD, OPTIONS'],
    ['/events', 'GET, HEAD, OPTIONS'],
    ['/healthz', 'GET, HEAD, OPTIONS'],
    ['/readyz', 'GET, HEAD, OPTIONS'],
    ['/', 'GET, HEAD, OPTIONS'],
  ];
  for (const [path, allow] of cases) {
    const refused = await ask(north, path, { method: 'PROPFIND' });
    t.match({ status: refused.status, allow: refused.headers.allow }, { status: 405, allow }, path);
    t.match(json(refused), { code: 'METHOD_NOT_ALLOWED', message: /PROPFIND/ });
    const options = await ask(north, path, { method: 'OPTIONS' });
    t.match({ status: options.status, allow: options.headers.allow }, { status: 204, allow }, path);
  }
});

t.test('what is not there is 404 in JSON, and a slash at the end does not matter', async (t) => {
  const { north } = await startTestService(t);
  for (const path of ['/none', '/images/a/b', '/iso/x.iso']) {
    const answer = await ask(north, path);
    t.equal(answer.status, 404, path);
    t.match(json(answer), { code: 'NOT_FOUND' });
  }
  t.same(json(await ask(north, '/images/')), []);
});

t.test('HEAD has the headers of GET', async (t) => {
  const { north } = await startTestService(t);
  const get = await ask(north, '/iso');
  const head = await ask(north, '/iso', { method: 'HEAD' });
  t.equal(head.headers['content-length'], get.headers['content-length']);
  t.equal(head.text, '');
});

t.test('requests that make no sense do not end the service', async (t) => {
  const { north } = await startTestService(t);
  const requests = [
    'PUT /images HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{,}',
    'PUT /images HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull',
    'PUT /images HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"name": 1}',
    'DELETE /images HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]',
    'PUT /iso?name=a HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data\r\nContent-Length: 2\r\n\r\n[]',
    'GET /images?%ff=%zz HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n',
  ];
  for (const request of requests) {
    t.match(
      await talk(north, request.replace('Host: x', 'Host: x\r\nConnection: close')),
      /^HTTP\/1.1 4\d\d /,
      request,
    );
  }
  t.same(json(await ask(north, '/images')), []);
});
