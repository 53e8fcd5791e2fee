import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { checkUpload, mediaTypeOf, openUpload, readParameters } from '../../lib/http/body.js';
import { sendJson } from '../../lib/http/reply.js';
import { type Answer, type Ask, ask, json, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, everywhere, readAll, startHttp } from '../fixtures/http-server.js';

function requestWith(headers: Record<string, string>): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  request.headers = headers;
  return request;
}

t.test('a media type counts without its parameters and its case', (t) => {
  const cases: [header: string | undefined, type: string][] = [
    [undefined, ''],
    ['', ''],
    ['application/json', 'application/json'],
    ['Application/JSON; charset=utf-8', 'application/json'],
    ['multipart/form-data;boundary="a;b"', 'multipart/form-data'],
    [' text/plain ;x', 'text/plain'],
  ];
  for (const [header, type] of cases) {
    t.equal(mediaTypeOf(requestWith(header === undefined ? {} : { 'content-type': header })), type);
  }
  t.end();
});

t.test('a header that announces no whole file as it is, is refused', (t) => {
  const cases: [headers: Record<string, string>, code: string, message: RegExp][] = [
    [{}, 'LENGTH_REQUIRED', /Content-Length or chunked/],
    [{ 'content-length': '0' }, 'BAD_REQUEST', /empty/],
    [{ 'content-length': '9', 'content-encoding': 'gzip' }, 'UNSUPPORTED_MEDIA_TYPE', /Content-Encoding gzip/],
    [{ 'transfer-encoding': 'chunked', 'content-encoding': 'br' }, 'UNSUPPORTED_MEDIA_TYPE', /Content-Encoding br/],
    [{ 'content-length': '9', 'content-range': 'bytes 1-8/10' }, 'BAD_REQUEST', /to the end of the file/],
    [{ 'content-length': '9', 'content-range': 'bytes 1-10/10' }, 'BAD_REQUEST', /to the end of the file/],
    [{ 'content-length': '9', 'content-range': 'bytes 10-9/10' }, 'BAD_REQUEST', /to the end of the file/],
    [{ 'content-length': '8', 'content-range': 'bytes 1-9/10' }, 'BAD_REQUEST', /Content-Length is not 9/],
    [{ 'transfer-encoding': 'chunked', 'content-range': 'bytes 1-9/10' }, 'BAD_REQUEST', /Content-Length is not 9/],
    [{ 'content-length': '9', 'content-range': 'bytes 1-9/*' }, 'BAD_REQUEST', /"bytes 1-9\/\*": it is not understood/],
    [{ 'content-length': '9', 'content-range': 'lines 1-9/10' }, 'BAD_REQUEST', /not understood/],
    [{ 'transfer-encoding': 'chunked', 'content-range': '' }, 'BAD_REQUEST', /not understood/],
  ];
  for (const [headers, code, message] of cases) {
    t.throws(() => checkUpload(requestWith(headers)), { name: 'ServiceError', code, message }, JSON.stringify(headers));
  }
  t.end();
});

t.test('a header that announces a file tells its length, whatever its type', (t) => {
  const announced = (headers: Record<string, string>) => checkUpload(requestWith(headers));
  t.same(announced({ 'content-length': '5000000000' }), { length: 5_000_000_000, offset: 0 });
  t.same(announced({ 'content-length': '1', 'content-encoding': 'Identity' }), { length: 1, offset: 0 });
  t.same(announced({ 'content-length': '1', 'content-type': 'application/json' }), { length: 1, offset: 0 });
  t.same(announced({ 'transfer-encoding': 'chunked' }), { length: undefined, offset: 0 });
  t.same(announced({ 'content-length': '9', 'content-range': 'bytes 0-8/9' }), { length: 9, offset: 0 });
  t.same(announced({ 'content-length': '9', 'content-range': 'bytes 1-9/10' }), { length: 10, offset: 1 });
  t.end();
});

const uploading = everywhere(async (exchange) => {
  const upload = openUpload(exchange);
  const bytes = (await readAll(upload.stream)).length;
  await upload.complete();
  sendJson(exchange, 200, { bytes });
});

t.test('an upload is the body as it comes: curl and wget call an ISO a form, RackHD calls it JSON', async (t) => {
  const { url } = await startHttp(t, uploading);
  const body = Buffer.alloc(300_000, '%&=[');
  for (const type of ['application/x-www-form-urlencoded', 'application/json', 'application/octet-stream']) {
    const answer = await ask(url, '/', { method: 'PUT', headers: { 'Content-Type': type }, body });
    t.same(json(answer), { bytes: 300_000 }, type);
  }
  t.same(json(await ask(url, '/', { method: 'PUT', headers: { 'transfer-encoding': 'chunked' }, body })), {
    bytes: 300_000,
  });
});

t.test('a request without its file gets 411 at once', async (t) => {
  const { url } = await startHttp(t, uploading);
  t.match(await talk(url, 'PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 411 /);
});

t.test('an upload that ends early is not complete', async (t) => {
  const cases = [
    'Content-Length: 100\r\n\r\nbody',
    'Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n',
    'Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nnonsense\r\n',
  ];
  for (const head of cases) {
    const outcome = deferred<unknown>();
    const { url } = await startHttp(
      t,
      everywhere(async (exchange) => {
        const upload = openUpload(exchange);
        await readAll(upload.stream).catch(() => undefined);
        outcome.resolve(await upload.complete().catch((error: unknown) => error));
      }),
    );
    const connection = await Connection.open(url);
    connection.socket.end(`PUT / HTTP/1.1\r\nHost: a\r\n${head}`);
    await connection.closed;
    const error = await outcome.promise;
    t.ok(error instanceof ServiceError && error.code === 'BAD_REQUEST', head);
  }
});

const parameters = everywhere(async (exchange) => sendJson(exchange, 200, await readParameters(exchange)));

const typed = (type: string, body: string | Buffer): Ask => ({
  method: 'PUT',
  headers: { 'Content-Type': type },
  body,
});

t.test('parameters come as JSON or as a form; no body is no parameters', async (t) => {
  const { url } = await startHttp(t, parameters);
  const pairs = [
    ['name', 'übuntu'],
    ['version', '14 04'],
  ];
  const cases: [what: string, request: Ask, expected: unknown][] = [
    ['JSON', typed('application/json', '{"name":"übuntu","version":"14 04"}'), pairs],
    ['JSON with a charset', typed('application/json; charset=UTF-8', '{"name":"übuntu","version":"14 04"}'), pairs],
    ['a form', typed('application/x-www-form-urlencoded', 'name=%C3%BCbuntu&version=14+04'), pairs],
    ['a parameter given twice', typed('application/x-www-form-urlencoded', 'a=1&a=2'), [['a', '1'], ['a', '2']]],
    ['the [] of the RackHD test client', typed('application/json', '[]'), []],
    ['its {}', typed('application/json', '{}'), []],
    ['a body of spaces', typed('application/json', ' \n'), []],
    ['an empty body called JSON', typed('application/json', ''), []],
    ['an empty form', typed('application/x-www-form-urlencoded', ''), []],
    ['an empty body of any type', { method: 'PUT', headers: { 'Content-Type': 'x/y', 'Content-Length': '0' } }, []],
    ['no body', { method: 'DELETE' }, []],
  ]; // prettier-ignore
  for (const [what, request, expected] of cases) {
    const answer = await ask(url, '/', request);
    t.same([answer.status, json(answer)], [200, expected], what);
  }
});

/** Node reads it, and has not the stack to write it. */
const deepJson = `{"name":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;

t.test('a body that has no parameters to give is refused in words', async (t) => {
  const { url } = await startHttp(t, parameters);
  const cases: [what: string, request: Ask, status: number, message: RegExp][] = [
    ['broken JSON', typed('application/json', '{"name":'), 400, /not valid JSON/],
    ['a list', typed('application/json', '["name"]'), 400, /must be a JSON object/],
    ['a string', typed('application/json', '"name"'), 400, /must be a JSON object/],
    ['null', typed('application/json', 'null'), 400, /must be a JSON object/],
    ['a number for a name', typed('application/json', '{"name":14.04}'), 400, /^"name" is 14\.04; allowed: a string/],
    [
      'a list for a name',
      typed('application/json', '{"name":["a"]}'),
      400,
      /^"name" is a list or an object; allowed: a string/,
    ],
    [
      'a list many times in a list for a name',
      typed('application/json', deepJson),
      400,
      /^"name" is a list or an object/,
    ],
    ['nothing for a name', typed('application/json', '{"name":null}'), 400, /^"name" is null; allowed: a string/],
    ['an object for a name', typed('application/json', '{"name":{"a":[1]}}'), 400, /^"name" is a list or an object;/],
    ['another type', typed('text/xml', '<a/>'), 415, /"text\/xml"/],
    ['no type', { method: 'PUT', headers: {}, body: 'a=1' }, 415, /""/],
    ['a browser form', typed('multipart/form-data; boundary=b', '--b--'), 415, /"multipart\/form-data"/],
  ];
  for (const [what, request, status, message] of cases) {
    const answer = await ask(url, '/', request);
    t.equal(answer.status, status, what);
    t.match(json(answer), { message }, what);
  }
});

t.test('parameters of more than a mebibyte are refused, announced or not', async (t) => {
  const { url } = await startHttp(t, parameters);
  const limit = 1024 * 1024;
  const form = (bytes: number) => `a=${'x'.repeat(bytes - 2)}`;
  const send = (body: string, headers = {}): Promise<Answer> => {
    const type = 'application/x-www-form-urlencoded';
    return ask(url, '/', { method: 'PUT', headers: { 'content-type': type, ...headers }, body });
  };
  const chunked = { 'transfer-encoding': 'chunked' };
  t.equal((await send(form(limit))).status, 200);
  t.equal((await send(form(limit), chunked)).status, 200);
  for (const bytes of [limit + 1, 8 * limit]) {
    t.match(json(await send(form(bytes))), { code: 'TOO_LARGE' });
    const answer = await send(form(bytes), chunked);
    t.same([answer.status, answer.complete], [413, true]);
  }
});

t.test('parameters that are too large are not even asked for; others are', async (t) => {
  const { url } = await startHttp(t, parameters);
  const put = async (length: number) => {
    const connection = await Connection.open(url);
    const type = 'Content-Type: application/json\r\nExpect: 100-continue';
    connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n${type}\r\n\r\n`);
    const received = await connection.until('\r\n\r\n');
    connection.socket.destroy();
    return received;
  };
  t.match(await put(2_000_000), /^HTTP\/1\.1 413 /);
  t.match(await put(2), /^HTTP\/1\.1 100 /);
});

t.test('parameters that break off are an error, not a wait', async (t) => {
  const outcome = deferred<unknown>();
  const began = deferred();
  const { url } = await startHttp(
    t,
    everywhere(async (exchange) => {
      const reading = readParameters(exchange);
      began.resolve();
      outcome.resolve(await reading.catch((error: unknown) => error));
    }),
  );
  const connection = await Connection.open(url);
  connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{"a":');
  await began.promise;
  connection.socket.destroy();
  const error = await outcome.promise;
  t.ok(error instanceof ServiceError && error.code === 'BAD_REQUEST');
});

t.test('a value that is nested as deeply as it can be is refused like any other', async (t) => {
  const { url } = await startHttp(t, parameters);
  const deep = (levels: number) => `{"name":${'['.repeat(levels)}${']'.repeat(levels)}}`;
  const answer = await ask(url, '/', typed('application/json', deep(500_000)));
  t.equal(answer.status, 400);
  t.match(json(answer), { code: 'BAD_REQUEST', message: /a list or an object/ });
});

t.test('more parameters than any request has are refused before they are taken apart', async (t) => {
  const { url } = await startHttp(t, parameters);
  const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`);
  const form = (count: number) => typed('application/x-www-form-urlencoded', keys(count).join('=1&'));
  const object = (count: number) => JSON.stringify(Object.fromEntries(keys(count).map((key) => [key, '1'])));
  t.equal((await ask(url, '/', form(100))).status, 200);
  t.equal((await ask(url, '/', typed('application/json', object(100)))).status, 200);
  for (const count of [101, 60_000]) {
    t.match(json(await ask(url, '/', form(count))), { code: 'BAD_REQUEST', message: /more than 100/ });
    t.match(json(await ask(url, '/', typed('application/json', object(count)))), { message: /more than 100/ });
  }
});
