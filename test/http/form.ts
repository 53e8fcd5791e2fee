import { once } from 'node:events';
import { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import type { Exchange } from '../../lib/http/exchange.js';
import { isForm, openForm } from '../../lib/http/form.js';
import { sendJson } from '../../lib/http/reply.js';
import { type Ask, ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, eventually, everywhere, readAll, startHttp } from '../fixtures/http-server.js';

/** A form as a browser sends it, name and file name in plain UTF-8. */
async function browserForm(parts: readonly (readonly [string, string | File])[]): Promise<Ask> {
  const data = new FormData();
  for (const [name, value] of parts) data.append(name, value);
  const encoded = new Response(data);
  const type = encoded.headers.get('content-type') ?? '';
  return { method: 'POST', headers: { 'Content-Type': type }, body: Buffer.from(await encoded.arrayBuffer()) };
}

const type = 'multipart/form-data; boundary=b';
const field = (name: string, value: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const file = (name: string, content: string) =>
  `--b\r\nContent-Disposition: form-data; name="f"; filename="${name}"\r\n\r\n${content}\r\n`;
const handmade = (body: string, contentType = type): Ask => ({
  method: 'POST',
  headers: { 'Content-Type': contentType },
  body,
});

async function receive(exchange: Exchange) {
  const { fields, fileName, upload } = await openForm(exchange);
  const content = await readAll(upload.stream);
  await upload.complete();
  return {
    fields,
    fileName,
    bytes: content.length,
    text: content.toString().slice(0, 20),
  };
}

const receiving = everywhere(async (exchange) => sendJson(exchange, 200, await receive(exchange)));
/** Begins when all that is sent at once has come, as after a check that takes a moment. */
const receivingLate = everywhere(async (exchange) => {
  await delay(20);
  sendJson(exchange, 200, await receive(exchange));
});

t.test('a browser form gives the fields before the file, the name of the file, and the file', async (t) => {
  const { url } = await startHttp(t, receiving);
  const request = await browserForm([
    ['name', 'übuntu.iso'],
    ['version', '14.04'],
    ['file', new File(['content'.repeat(100_000)], 'Täst ß 光.iso')],
    ['after', 'x'],
  ]);
  t.same(json(await ask(url, '/', request)), {
    fields: [
      ['name', 'übuntu.iso'],
      ['version', '14.04'],
    ],
    fileName: 'Täst ß 光.iso',
    bytes: 700_000,
    text: 'contentcontentconten',
  });
});

t.test('the path that some browsers put before the name of the file is dropped', async (t) => {
  const { url } = await startHttp(t, receiving);
  for (const name of ['../../etc/a.iso', 'C:\\\\fakepath\\\\a.iso', '/a.iso', 'a.iso']) {
    t.match(json(await ask(url, '/', handmade(`${file(name, 'x')}--b--\r\n`))), { fileName: 'a.iso' }, name);
  }
});

t.test('of two files the first is taken', async (t) => {
  const { url } = await startHttp(t, receiving);
  const request = handmade(`${file('one', 'first')}${file('two', 'second'.repeat(50_000))}${field('a', 'b')}--b--\r\n`);
  t.match(json(await ask(url, '/', request)), { fields: [], fileName: 'one', text: 'first' });
});

t.test('a field without a name has an empty one', async (t) => {
  const { url } = await startHttp(t, receiving);
  const nameless = '--b\r\nContent-Disposition: form-data\r\n\r\nvalue\r\n';
  for (const before of [field('', 'value'), nameless]) {
    const answer = await ask(url, '/', handmade(`${before}${file('a.iso', 'content')}--b--\r\n`));
    t.match(json(answer), { fields: [['', 'value']], text: 'content' });
  }
});

t.test('an empty file is a file', async (t) => {
  const { url } = await startHttp(t, receiving);
  t.match(json(await ask(url, '/', handmade(`${file('none', '')}--b--\r\n`))), { fileName: 'none', bytes: 0 });
});

t.test('what is not a whole form with a file is refused, however late it is looked at', async (t) => {
  const cases: [what: string, request: Ask, status: number, message: RegExp][] = [
    ['no file', handmade(`${field('name', 'x')}--b--\r\n`), 400, /has no file/],
    ['no boundary', handmade('--b--', 'multipart/form-data'), 400, /form is not valid.*[Bb]oundary/],
    ['another boundary', handmade(`${file('a', 'x')}--b--\r\n`, 'multipart/form-data; boundary=c'), 400, /not valid/],
    ['no end', handmade(file('a', 'x')), 400, /form is not valid/],
    ['no end of a field', handmade('--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx'), 400, /not valid/],
    ['a broken part header', handmade('--b\r\nbroken\r\n\r\nx\r\n--b--\r\n'), 400, /form is not valid|has no file/],
    ['nothing', handmade(''), 400, /empty/],
    ['no form', handmade('text', 'text/plain'), 400, /form is not valid/],
    ['encoded', { ...handmade('x'), headers: { 'Content-Type': type, 'Content-Encoding': 'gzip' } }, 415, /gzip/],
    ['a part of a form', { ...handmade('x'), headers: { 'Content-Type': type, 'Content-Range': 'bytes 1-1/2' } }, 400, /Range/],
  ]; // prettier-ignore
  for (const application of [receiving, receivingLate]) {
    const { url } = await startHttp(t, application);
    for (const [what, request, status, message] of cases) {
      const answer = await ask(url, '/', request);
      t.equal(answer.status, status, what);
      t.match(json(answer), { message }, what);
    }
    t.equal((await ask(url, '/', handmade(`${file('a', 'x')}--b--\r\n`))).status, 200);
  }
});

t.test('whoever begins to read when the client has left is told', async (t) => {
  const outcome = deferred<unknown>();
  const began = deferred();
  const { url } = await startHttp(
    t,
    everywhere(async (exchange) => {
      began.resolve();
      await once(exchange.response, 'close');
      outcome.resolve(await receive(exchange).catch((error: unknown) => error));
    }),
  );
  const connection = await Connection.open(url);
  connection.send(
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: 1000\r\n\r\n${file('a', 'b')}`,
  );
  await began.promise;
  connection.socket.destroy();
  const error = await outcome.promise;
  t.ok(error instanceof ServiceError && error.code === 'BAD_REQUEST', String(error));
});

t.test('a form that breaks off is an error, not a wait', async (t) => {
  const cuts = [
    field('name', 'x').slice(0, -4),
    field('name', 'x'),
    file('a', 'content').slice(0, -6),
    file('a', 'content'),
  ];
  for (const cut of cuts) {
    const outcome = deferred<unknown>();
    const arrived = deferred();
    const { url } = await startHttp(
      t,
      everywhere(async (exchange) => {
        const receiving = receive(exchange).catch((error: unknown) => error);
        exchange.request.once('data', () => arrived.resolve());
        outcome.resolve(await receiving);
      }),
    );
    const connection = await Connection.open(url);
    connection.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: 1000\r\n\r\n${cut}`);
    await arrived.promise;
    connection.socket.destroy();
    const error = await outcome.promise;
    t.ok(error instanceof ServiceError && error.code === 'BAD_REQUEST', `${JSON.stringify(cut)}: ${String(error)}`);
  }
});

t.test('a client that leaves in the middle of a form that is broken already harms nobody', async (t) => {
  const { url, server } = await startHttp(t, receiving);
  const connection = await Connection.open(url);
  const broken = '--b\r\n\rContent-Disposition: form-data\r\n\r\nvalue\r\n--b--\r\n';
  connection.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: 1000\r\n\r\n${broken}`);
  t.match(await connection.until('BAD_REQUEST'), /^HTTP\/1\.1 400 /);
  connection.socket.destroy();
  t.ok(await eventually(() => server.connections === 0));
  const answer = await ask(url, '/', handmade(`${file('a.iso', 'content')}--b--\r\n`));
  t.match(json(answer), { text: 'content' });
});

t.test('a form whose reader fails is answered, however much of it is on its way', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(async (exchange) => {
      const { upload } = await openForm(exchange);
      await new Promise((resolve) => upload.stream.once('data', resolve));
      upload.stream.pause();
      throw new ServiceError('NO_SPACE', 'There is no room left for the file');
    }),
  );
  const answer = await ask(url, '/', handmade(`${file('a', 'x'.repeat(8 * 1024 * 1024))}--b--\r\n`));
  t.same([answer.status, answer.complete], [507, true]);
});

t.test('a form is asked for only when its header is in order', async (t) => {
  const { url } = await startHttp(t, receiving);
  const begin = async (headers: string) => {
    const connection = await Connection.open(url);
    connection.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n${headers}\r\n\r\n`);
    const received = await connection.until('\r\n\r\n');
    connection.socket.destroy();
    return received;
  };
  t.match(await begin(`Content-Type: ${type}`), /^HTTP\/1\.1 100 /);
  t.match(await begin('Content-Type: multipart/form-data'), /^HTTP\/1\.1 400 /);
  t.match(await begin(`Content-Type: ${type}\r\nContent-Encoding: gzip`), /^HTTP\/1\.1 415 /);
});

t.test('a form is known by its type', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere((exchange) => {
      t.ok(exchange.request instanceof IncomingMessage);
      sendJson(exchange, 200, isForm(exchange));
      return undefined;
    }),
  );
  t.equal(json(await ask(url, '/', { headers: { 'Content-Type': 'Multipart/Form-Data; boundary=b' } })), true);
  t.equal(json(await ask(url, '/', { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })), false);
  t.equal(json(await ask(url, '/')), false);
});
