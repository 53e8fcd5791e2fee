import { execFile } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import type { OutgoingHttpHeaders } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { Writable, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import type { Continuation } from '../../lib/images/download-far-end.js';
import { TemporaryFailure } from '../../lib/images/download-failure.js';
import { openHttp } from '../../lib/images/download-http.js';
import { checkDownloadUrl } from '../../lib/images/download-url.js';
import { certificate, farEnd, listen, rawEnd } from '../fixtures/download-server.js';

const client = fileURLToPath(new URL('../fixtures/download-client.js', import.meta.url));

function options({ signal = new AbortController().signal, idleTimeout = 5000 } = {}) {
  return { signal, idleTimeout };
}

async function download(url: string, changed = {}): Promise<{ body: Readable; length: number | undefined }> {
  const { body, origin } = await openHttp(checkDownloadUrl(url), options(changed));
  return { body, length: origin.length };
}

function toNowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

/** What the body ends with: `complete`, or its error. */
function outcome(body: Readable): Promise<unknown> {
  return pipeline(body, toNowhere()).then(
    () => 'complete',
    (error: unknown) => error,
  );
}

function caught(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'fulfilled',
    (error: unknown) => error,
  );
}

t.test('a file arrives whole, with the length that the server says', async (t) => {
  const content = Buffer.alloc(3_000_000, 'iso');
  const far = await farEnd(t, (_request, response) =>
    response.setHeader('Content-Length', content.length).end(content),
  );
  const { body, length } = await download(`${far.url}/x.iso`);
  t.equal(length, content.length);
  t.equal(await text(body), content.toString());
  t.match(far.headers[0], { 'accept-encoding': 'identity', connection: 'close' });
  t.equal(far.headers[0]?.authorization, undefined);
});

t.test('a file whose server does not know its length arrives whole', async (t) => {
  const chunked = await farEnd(t, (_request, response) => {
    response.write('first ');
    response.end('last');
  });
  const untilClose = await rawEnd(t, 'HTTP/1.0 200 OK\r\n\r\nfirst last', 'close');
  for (const url of [chunked.url, untilClose]) {
    const { body, length } = await download(url);
    t.equal(length, undefined);
    t.equal(await text(body), 'first last');
  }
});

t.test('an empty file is an empty body', async (t) => {
  const far = await farEnd(t, (_request, response) => response.setHeader('Content-Length', 0).end());
  const { body, length } = await download(far.url);
  t.equal(length, 0);
  t.equal(await text(body), '');
});

t.test('another status than 200 is told', async (t) => {
  for (const [status, words] of [
    [404, '404 Not Found'],
    [206, '206 Partial Content'],
    [204, '204 No Content'],
    [500, '500 Internal Server Error'],
    [799, '799'],
  ] as const) {
    const far = await farEnd(t, (_request, response) => response.writeHead(status).end());
    const url = far.url.replace('http://', 'http://user:secret@');
    await t.rejects(download(url), { code: 'BAD_GATEWAY', message: `${new URL(far.url).host} answered ${words}` });
  }
});

t.test('an encoded file is refused: its bytes would not be the ISO', async (t) => {
  for (const [coding, fits] of [
    ['gzip', false],
    ['br', false],
    ['Identity', true],
  ] as const) {
    const far = await farEnd(t, (_request, response) => response.setHeader('Content-Encoding', coding).end('x'));
    if (fits) t.equal(await text((await download(far.url)).body), 'x');
    else await t.rejects(download(far.url), { code: 'BAD_GATEWAY', message: /encoded although not asked/ });
  }
});

t.test('a server that cannot be reached is told in words', async (t) => {
  const far = await farEnd(t, () => undefined);
  far.server.close();
  await once(far.server, 'close');
  await t.rejects(download(far.url.replace('http://', 'http://user:secret@')), {
    code: 'BAD_GATEWAY',
    message: `Cannot download from ${new URL(far.url).host}: it refuses the connection`,
  });
  await t.rejects(download('http://no-such-host.invalid/'), {
    code: 'BAD_GATEWAY',
    message: /^Cannot download from no-such-host\.invalid: its name (is unknown|cannot be resolved at the moment)$/,
  });
});

t.test('an answer that is not HTTP, or none, is told in words', async (t) => {
  const ssh = await rawEnd(t, 'SSH-2.0-OpenSSH_9.2\r\n', 'close');
  await t.rejects(download(ssh), { code: 'BAD_GATEWAY', message: /its answer is not HTTP$/ });
  await t.rejects(download(await rawEnd(t, '', 'close')), {
    code: 'BAD_GATEWAY',
    message: /it closed the connection$/,
  });
  await t.rejects(download(ssh.replace('http:', 'https:')), { code: 'BAD_GATEWAY', message: /TLS cannot be negot/ });
});

t.test('a body that ends early fails, and says after how many bytes', async (t) => {
  const cases: [string, RegExp][] = [
    ['Content-Length: 100\r\n\r\n1234567', /broke off after 7 of 100 bytes$/],
    ['Transfer-Encoding: chunked\r\n\r\n7\r\n1234567\r\n', /broke off after 7 bytes$/],
    ['Transfer-Encoding: chunked\r\n\r\n7\r\n1234567\r\nnonsense\r\n', /broke off after 7 bytes$/],
  ];
  for (const [answer, message] of cases) {
    const { body } = await download(await rawEnd(t, `HTTP/1.1 200 OK\r\n${answer}`, 'close'));
    t.match(await outcome(body), { name: 'ServiceError', code: 'BAD_GATEWAY', message });
  }
});

t.test('a body that fails before somebody reads it fails for the reader, not for the process', async (t) => {
  const { body } = await download(await rawEnd(t, 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n', 'close'));
  await wait(100);
  t.ok(body.destroyed);
  t.match(await outcome(body), { code: 'BAD_GATEWAY', message: /after 0 of 9 bytes$/ });
});

t.test('a server that is silent before its answer is a timeout', async (t) => {
  const message = /^127\.0\.0\.1:\d+ was silent for 0\.1 seconds$/;
  const url = await rawEnd(t, 'HTTP/1.1 200 OK\r\nContent-Le', 'silence');
  await t.rejects(download(url, { idleTimeout: 100 }), { code: 'GATEWAY_TIMEOUT', message });
});

t.test('a server that falls silent within the body is a timeout', async (t) => {
  const url = await rawEnd(t, 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234', 'silence');
  const { body } = await download(url, { idleTimeout: 100 });
  t.match(await outcome(body), { code: 'GATEWAY_TIMEOUT', message: /was silent for 0\.1 seconds$/ });
});

t.test('a slow server is no silent one', async (t) => {
  const far = await farEnd(t, (_request, response) => {
    void (async () => {
      for (let i = 0; i < 10; i++) {
        response.write('x');
        await wait(50);
      }
      response.end();
    })();
  });
  t.equal(await text((await download(far.url, { idleTimeout: 300 })).body), 'xxxxxxxxxx');
});

t.test('a slow reader is no silent server', async (t) => {
  const content = Buffer.alloc(8_000_000);
  const far = await farEnd(t, (_request, response) => response.end(content));
  const { body } = await download(far.url, { idleTimeout: 200 });
  await wait(500);
  let received = 0;
  let chunks = 0;
  const write = (chunk: Buffer, _encoding: string, done: () => void) => {
    received += chunk.length;
    setTimeout(done, chunks++ === 20 ? 500 : 0);
  };
  await pipeline(body, new Writable({ write }));
  t.equal(received, content.length);
});

t.test('a reader that stops reading stops the server: memory stays bounded', async (t) => {
  let far: Socket | undefined;
  const total = 200_000_000;
  const server = await farEnd(t, (request, response) => {
    far = request.socket;
    response.setHeader('Content-Length', total);
    const block = Buffer.alloc(1_000_000);
    const more = () => {
      while (response.write(block));
      response.once('drain', more);
    };
    more();
  });
  const { body } = await download(server.url);
  body.read();
  await wait(400);
  t.ok(body.readableLength < 1_000_000, `${body.readableLength} bytes wait here`);
  const written = far?.bytesWritten ?? total;
  t.ok(written < total / 4, `${written} bytes written`);
  body.destroy();
});

t.test('an abort ends a download that waits for its answer', async (t) => {
  let socket: Socket | undefined;
  const far = await farEnd(t, (request) => (socket = request.socket));
  const abort = new AbortController();
  const arrived = once(far.server, 'request');
  const waiting = download(far.url, { signal: abort.signal });
  await arrived;
  abort.abort();
  await t.rejects(waiting, { name: 'AbortError' });
  if (socket && !socket.destroyed) await once(socket, 'close');
  t.same(getEventListeners(abort.signal, 'abort'), []);
  await t.rejects(download(far.url, { signal: abort.signal }), { name: 'AbortError' }, 'aborted before it began');
  t.equal(far.headers.length, 1);
});

t.test('an abort ends a body that is being read, and leaves no socket', async (t) => {
  let far: Socket | undefined;
  const server = await farEnd(t, (request, response) => {
    far = request.socket;
    response.write('begin');
  });
  const abort = new AbortController();
  const { body } = await download(server.url, { signal: abort.signal });
  const ended = outcome(body);
  await wait(50);
  t.ok(getEventListeners(abort.signal, 'abort').length > 0);
  abort.abort();
  t.match(await ended, { name: 'AbortError' });
  if (far && !far.destroyed) await once(far, 'close');
  t.same(getEventListeners(abort.signal, 'abort'), []);
});

t.test('a finished or dropped download leaves neither socket nor listener', async (t) => {
  const sockets: Socket[] = [];
  const far = await farEnd(t, (request, response) => {
    sockets.push(request.socket);
    if (request.url === '/moved') response.writeHead(302, { Location: '/' }).end('x');
    else if (request.url === '/none') response.writeHead(404).end(Buffer.alloc(1_000_000));
    else response.end(Buffer.alloc(1_000_000));
  });
  const { signal } = new AbortController();
  await outcome((await download(`${far.url}/moved`, { signal })).body);
  (await download(far.url, { signal })).body.destroy();
  await t.rejects(download(`${far.url}/none`, { signal }));
  await wait(100);
  t.equal(sockets.length, 4);
  t.ok(sockets.every((socket) => socket.destroyed));
  t.same(getEventListeners(signal, 'abort'), []);
});

t.test('a certificate that is not trusted is told in words', async (t) => {
  const { key, cert } = await certificate(t.testdir({}), '127.0.0.1');
  const server = https.createServer({ key, cert }, (_request, response) => response.end('x'));
  const url = `https://127.0.0.1:${await listen(t, server)}/`;
  await t.rejects(download(url), { code: 'BAD_GATEWAY', message: /its certificate is self-signed and not trusted$/ });
});

t.test('https works with the authorities that the operator trusts, and for the right name only', async (t) => {
  const folder = t.testdir({});
  const { key, cert, certFile } = await certificate(folder, '127.0.0.1');
  const other = await certificate(folder, '127.0.0.2');
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: certFile };
  const server = https.createServer({ key, cert }, (_request, response) => response.end('over TLS'));
  const url = `https://127.0.0.1:${await listen(t, server)}/`;
  t.equal((await promisify(execFile)(process.execPath, [client, url], { env })).stdout, 'over TLS');
  const wrong = https.createServer({ key: other.key, cert: other.cert }, (_request, response) => response.end('x'));
  const wrongUrl = `https://127.0.0.1:${await listen(t, wrong)}/`;
  const trusting = { env: { ...env, NODE_EXTRA_CA_CERTS: other.certFile } };
  const failed: unknown = await promisify(execFile)(process.execPath, [client, wrongUrl], trusting).catch(
    (error: unknown) => error,
  );
  t.match(failed, { stderr: /its certificate is for another name/ });
});

const content = Buffer.from('0123456789');
const tag = '"a strong tag"';
const stamp = 'Mon, 01 Jan 2024 00:00:00 GMT';

/** What a server that never starts over sends of its ten bytes. */
function rest(first: number, total: string | number = content.length): OutgoingHttpHeaders {
  return { 'Content-Range': `bytes ${first}-9/${total}`, 'Content-Length': content.length - first };
}

function after(offset: number, validator = tag, length: number | undefined = content.length): Continuation {
  return { offset, origin: { validator, length } };
}

async function continueFrom(url: string, continuation: Continuation) {
  const { body, origin, offset } = await openHttp(checkDownloadUrl(url), options(), continuation);
  return { text: await text(body), origin, offset };
}

t.test('a download goes on where it broke off, if the server says that the file is the same', async (t) => {
  const far = await farEnd(t, (_request, response) => response.writeHead(206, { ...rest(4), ETag: tag }).end('456789'));
  t.same(await continueFrom(far.url, after(4)), {
    text: '456789',
    origin: { validator: tag, length: 10 },
    offset: 4,
  });
  t.match(far.headers, [{ range: 'bytes=4-', 'if-range': tag }]);
  t.equal((await continueFrom(far.url, after(4, stamp))).offset, 4);
  t.match(far.headers[1], { range: 'bytes=4-', 'if-range': stamp });
});

t.test('a length that was not known becomes known with the rest', async (t) => {
  const far = await farEnd(t, (_request, response) => response.writeHead(206, rest(4)).end('456789'));
  const unknown = { offset: 4, origin: { validator: tag, length: undefined } };
  t.same((await continueFrom(far.url, unknown)).origin, { validator: tag, length: 10 });
  const star = await farEnd(t, (_request, response) => response.writeHead(206, rest(4, '*')).end('456789'));
  t.equal((await continueFrom(star.url, unknown)).origin.length, 10);
  t.equal((await continueFrom(star.url, after(4))).origin.length, 10);
});

t.test('a server that sends the whole file instead is believed', async (t) => {
  const far = await farEnd(t, (_request, response) => {
    response.writeHead(200, { ETag: '"another"', 'Content-Length': 10 }).end(content);
  });
  t.same(await continueFrom(far.url, after(4)), {
    text: content.toString(),
    origin: { validator: '"another"', length: 10 },
    offset: 0,
  });
  t.equal(far.headers.length, 1);
});

t.test('a part that does not continue the bytes that are there is refused, and the whole file asked for', async (t) => {
  const parts: readonly [what: string, status: number, headers: OutgoingHttpHeaders, continuation?: Continuation][] = [
    ['shorter by now', 416, { 'Content-Range': 'bytes */3' }],
    ['416 without a word', 416, {}],
    ['another start', 206, rest(5)],
    ['from the very start', 206, rest(0)],
    ['another length', 206, { ...rest(4), 'Content-Range': 'bytes 4-9/11' }],
    ['an end beyond the length', 206, { ...rest(4), 'Content-Range': 'bytes 4-10/10' }],
    ['an end before its start', 206, { ...rest(4), 'Content-Range': 'bytes 4-3/10' }],
    ['nonsense', 206, { ...rest(4), 'Content-Range': 'bytes 4-/10' }],
    ['another unit', 206, { ...rest(4), 'Content-Range': 'lines 4-9/10' }],
    ['no Content-Range', 206, { 'Content-Length': 6 }],
    ['several parts', 206, { 'Content-Type': 'multipart/byteranges; boundary=x' }],
    ['another tag', 206, { ...rest(4), ETag: '"another"' }],
    ['a tag that is weak now', 206, { ...rest(4), ETag: `W/${tag}` }],
    ['another date', 206, { ...rest(4), 'Last-Modified': 'Mon, 01 Jan 2024 00:00:01 GMT' }, after(4, stamp)],
  ];
  for (const [what, status, headers, continuation = after(4)] of parts) {
    const far = await farEnd(t, (request, response) => {
      if (request.headers.range === undefined) response.setHeader('ETag', '"new"').end('whole');
      else response.writeHead(status, headers).end();
    });
    const { text, origin, offset } = await continueFrom(far.url, continuation);
    t.same([text, offset, origin], ['whole', 0, { validator: '"new"', length: 5 }], what);
    t.match(far.headers[1], { range: undefined, 'if-range': undefined }, what);
    t.equal(far.headers.length, 2, what);
  }
});

t.test('a server that has no end of 416 is asked twice', async (t) => {
  const far = await farEnd(t, (_request, response) => response.writeHead(416).end());
  await t.rejects(continueFrom(far.url, after(4)), { code: 'BAD_GATEWAY', message: /416 Range Not Satisfiable$/ });
  t.equal(far.headers.length, 2);
});

t.test('a part that ends early breaks off after all bytes that are there', async (t) => {
  const url = await rawEnd(
    t,
    'HTTP/1.1 206 Part\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n45',
    'close',
  );
  const { body } = await openHttp(checkDownloadUrl(url), options(), after(4));
  t.match(await outcome(body), {
    code: 'BAD_GATEWAY',
    message: /^The download from \S+ broke off after 6 of 10 bytes$/,
  });
});

t.test('a server may send less than it was asked for: the rest is another try', async (t) => {
  const far = await farEnd(t, (_request, response) => {
    response.writeHead(206, { 'Content-Range': 'bytes 4-5/10', 'Content-Length': 2 }).end('45');
  });
  const { body } = await openHttp(checkDownloadUrl(far.url), options(), after(4));
  const error = await outcome(body);
  t.match(error, { message: /broke off after 6 of 10 bytes$/ });
  t.ok(error instanceof TemporaryFailure);
});

t.test('only what says surely that the file is the same counts as a validator', async (t) => {
  const date = 'Mon, 01 Jan 2024 00:00:00 GMT';
  const cases: [headers: OutgoingHttpHeaders, validator: string | undefined][] = [
    [{}, undefined],
    [{ ETag: '"x"' }, '"x"'],
    [{ ETag: '"x"', 'Last-Modified': date }, '"x"'],
    [{ ETag: 'W/"x"' }, undefined],
    [{ ETag: 'W/"x"', 'Last-Modified': date }, undefined],
    [{ ETag: 'x' }, undefined],
    [{ 'Last-Modified': date }, date],
    [{ 'Last-Modified': date, Date: date }, undefined],
    [{ 'Last-Modified': date, Date: 'Mon, 01 Jan 2024 00:00:01 GMT' }, date],
    [{ 'Last-Modified': 'Tue, 01 Jan 2999 00:00:00 GMT' }, undefined],
    [{ 'Last-Modified': 'yesterday' }, undefined],
  ];
  for (const [headers, validator] of cases) {
    const far = await farEnd(t, (_request, response) => response.writeHead(200, headers).end('x'));
    const { body, origin } = await openHttp(checkDownloadUrl(far.url), options());
    body.destroy();
    t.equal(origin.validator, validator, JSON.stringify(headers));
  }
});

t.test('statuses that may pass are worth another try, when the server says even after which time', async (t) => {
  const soon = new Date(Date.now() + 60_000).toUTCString();
  const cases: [status: number, retryAfter: string | undefined, expected: number | undefined][] = [
    [408, undefined, undefined],
    [429, '7', 7000],
    [500, 'soon', undefined],
    [502, '-1', undefined],
    [503, ' 120 ', 120_000],
    [504, 'Mon, 01 Jan 2024 00:00:00 GMT', 0],
    [599, undefined, undefined],
  ];
  for (const [status, retryAfter, expected] of cases) {
    const headers = retryAfter === undefined ? {} : { 'Retry-After': retryAfter };
    const far = await farEnd(t, (_request, response) => response.writeHead(status, headers).end());
    for (const error of [await caught(download(far.url)), await caught(continueFrom(far.url, after(4)))]) {
      t.ok(error instanceof TemporaryFailure, `${status}`);
      t.match(error, { code: 'BAD_GATEWAY', retryAfter: expected }, `${status} ${retryAfter}`);
    }
  }
  const far = await farEnd(t, (_request, response) => response.writeHead(503, { 'Retry-After': soon }).end());
  const error = await caught(download(far.url));
  t.ok(error instanceof TemporaryFailure && (error.retryAfter ?? 0) > 50_000 && (error.retryAfter ?? 0) <= 60_000);
  for (const status of [400, 401, 403, 404, 410, 416, 204, 206, 304, 799]) {
    const lasting = await farEnd(t, (_request, response) => response.writeHead(status).end());
    const error = await caught(download(lasting.url));
    t.match(error, { code: 'BAD_GATEWAY' });
    t.notOk(error instanceof TemporaryFailure, `${status}`);
  }
});

t.test('an encoded part is refused too', async (t) => {
  const far = await farEnd(t, (_request, response) => {
    response.writeHead(206, { ...rest(4), 'Content-Encoding': 'gzip' }).end('456789');
  });
  await t.rejects(continueFrom(far.url, after(4)), { code: 'BAD_GATEWAY', message: /encoded although not asked/ });
});

t.test('https trusts the authorities that it is given', async (t) => {
  const { key, cert } = await certificate(t.testdir({}), '127.0.0.1');
  const server = https.createServer({ key, cert }, (_request, response) => response.end('over TLS'));
  const url = checkDownloadUrl(`https://127.0.0.1:${await listen(t, server)}/`);
  const { body } = await openHttp(url, { ...options(), ca: [cert.toString()] });
  t.equal(await text(body), 'over TLS');
  await t.rejects(openHttp(url, { ...options(), ca: [] }), { code: 'BAD_GATEWAY', message: /not trusted$/ });
});
