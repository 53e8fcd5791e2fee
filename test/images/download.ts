import { execFile } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import https from 'node:https';
import type { Socket } from 'node:net';
import { Writable, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { checkDownloadUrl } from '../../lib/images/download-url.js';
import { openDownload, type Download } from '../../lib/images/download.js';
import { certificate, farEnd, listen, rawEnd } from '../fixtures/download-server.js';

const client = fileURLToPath(new URL('../fixtures/download-client.js', import.meta.url));

function download(url: string, { signal = new AbortController().signal, idleTimeout = 5000 } = {}): Promise<Download> {
  return openDownload(checkDownloadUrl(url), { signal, idleTimeout });
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

t.test('user and password of the URL are sent as Basic credentials', async (t) => {
  const far = await farEnd(t, (_request, response) => response.end('x'));
  const { body } = await download(far.url.replace('http://', 'http://us%40er:p%C3%A9@'));
  await text(body);
  t.equal(far.headers[0]?.authorization, `Basic ${Buffer.from('us@er:pé').toString('base64')}`);
  t.equal(far.headers[0]?.host, new URL(far.url).host);
});

t.test('every kind of redirect is followed, up to five of them', async (t) => {
  const statuses = [301, 302, 303, 307, 308];
  const far = await farEnd(t, (request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) response.end('found');
    else response.writeHead(statuses[left % 5] ?? 0, { Location: `${left - 1}` }).end('moved');
  });
  t.equal(await text((await download(`${far.url}/5`)).body), 'found');
  t.equal(far.headers.length, 6);
  await t.rejects(download(`${far.url}/6`), { code: 'BAD_GATEWAY', message: /redirects more than 5 times/ });
});

t.test('a redirect leads only to http and https', async (t) => {
  for (const location of ['file:///etc/passwd', 'ftp://h/x', 'http://', 'http://u%zz:secret@h/']) {
    const far = await farEnd(t, (_request, response) => response.writeHead(302, { Location: location }).end());
    await t.rejects(
      download(far.url),
      { code: 'BAD_GATEWAY', message: /^127\.0\.0\.1:\d+ redirects to something that is not an http(?!.*secret)/ },
      location,
    );
  }
  const bare = await farEnd(t, (_request, response) => response.writeHead(302).end());
  await t.rejects(download(bare.url), { code: 'BAD_GATEWAY', message: /302 Found/ });
});

t.test('a redirect keeps credentials on the same host, and gives them to no other', async (t) => {
  const other = await farEnd(t, (_request, response) => response.end('other'));
  const far = await farEnd(t, (request, response) => {
    if (request.url === '/same') response.writeHead(302, { Location: '/found' }).end();
    else if (request.url === '/own') {
      response.writeHead(302, { Location: other.url.replace('http://', 'http://own:key@') }).end();
    } else if (request.url === '/other') response.writeHead(302, { Location: other.url }).end();
    else response.end('found');
  });
  const url = far.url.replace('http://', 'http://user:secret@');
  const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString('base64')}`;
  for (const path of ['/same', '/other', '/own']) await text((await download(url + path)).body);
  const sent = basic('user:secret');
  t.same(
    far.headers.map((header) => header.authorization),
    [sent, sent, sent, sent],
  );
  t.same(
    other.headers.map((header) => header.authorization),
    [undefined, basic('own:key')],
  );
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
