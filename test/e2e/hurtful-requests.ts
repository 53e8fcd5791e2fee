import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { answersOf, statusesOf } from '../fixtures/answers.js';
import { type Ask, ask, json, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { startTestService, type TestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

const host = 'Host: a\r\n';
const closing = `${host}Connection: close\r\n`;

/** A request whose answer is one refusal in JSON, after which the service answers others. */
async function refused(t: Test, base: string, bytes: string, status: number, what: string): Promise<void> {
  const connection = await Connection.open(base);
  connection.send(bytes);
  await connection.until((text) => answersOf(text).length > 0);
  const [answer, ...others] = answersOf(connection.received);
  connection.socket.destroy();
  t.same([answer?.status, others], [status, []], what);
  t.match(JSON.parse(answer?.body ?? '{}'), { code: String, message: String }, what);
  t.equal((await ask(base, '/')).status, 200, `${what}: others are answered`);
}

t.test('headers and URLs without end are refused with their own status, on both sides', async (t) => {
  const { north, south } = await startTestService(t);
  const many = (count: number) => Array.from({ length: count }, (_, index) => `x${index}: 1\r\n`).join('');
  const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`).join('&');
  for (const base of [north, south]) {
    await refused(t, base, `GET / HTTP/1.1\r\n${host}X: ${'x'.repeat(100_000)}\r\n\r\n`, 431, 'a large header');
    await refused(t, base, `GET / HTTP/1.1\r\n${host}${many(300)}\r\n`, 431, 'many headers');
    await refused(t, base, `GET / HTTP/1.1\r\n${host}${many(100_000)}\r\n`, 431, 'a flood of headers');
    await refused(t, base, `GET /${'a'.repeat(65_536)} HTTP/1.1\r\n${closing}\r\n`, 414, 'a URL of 64 KiB');
    await refused(t, base, `GET /${'a'.repeat(9000)} HTTP/1.1\r\n${closing}\r\n`, 414, 'a URL of 9000 characters');
    await refused(t, base, `GET /?${keys(1_000_000)} HTTP/1.1\r\n${closing}\r\n`, 414, 'a million keys');
  }
  await refused(t, north, `GET /images?${keys(1000)} HTTP/1.1\r\n${closing}\r\n`, 400, 'a thousand keys');
});

/** Sends a body in chunks until it is answered, as somebody does who never ends. */
async function endless(base: string, path: string, headers: string, piece: string): Promise<string> {
  const connection = await Connection.open(base);
  connection.send(`PUT ${path} HTTP/1.1\r\n${host}${headers}Transfer-Encoding: chunked\r\n\r\n`);
  const chunk = `${piece.length.toString(16)}\r\n${piece}\r\n`;
  await waitFor('an answer', () => {
    connection.send(chunk);
    return answersOf(connection.received).length > 0;
  });
  connection.socket.destroy();
  return connection.received;
}

t.test('JSON and forms without end, or nested without end, are refused before they are read', async (t) => {
  const { north } = await startTestService(t);
  const type = 'Content-Type: application/json\r\n';
  const length = `Content-Length: 10000000\r\n`;
  await refused(t, north, `PUT /images HTTP/1.1\r\n${host}${type}${length}\r\n[[[[`, 413, 'ten megabytes announced');
  t.same(statusesOf(await endless(north, '/images', type, '['.repeat(65_536))), [413]);
  const form = 'Content-Type: application/x-www-form-urlencoded\r\n';
  t.same(statusesOf(await endless(north, '/images', form, 'a=1&'.repeat(16_384))), [413]);
  const put = (body: string, contentType: string): Ask => ({
    method: 'PUT',
    body,
    headers: { 'content-type': contentType },
  });
  const nested = `{"name":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
  t.equal((await ask(north, '/images', put(nested, 'application/json'))).status, 400);
  t.equal((await ask(north, '/images', put('['.repeat(1_000_000), 'application/json'))).status, 400);
  t.equal((await ask(north, '/images', put('a&'.repeat(500_000), 'application/x-www-form-urlencoded'))).status, 400);
  t.equal((await ask(north, '/images')).status, 200);
});

const limit = 1_000_000;

/** What the stores hold, out of sight too. */
async function stored({ folder }: TestService): Promise<string[]> {
  const names = ['iso', 'common'].map((store) => readdir(join(folder, 'static', store), { recursive: true }));
  return (await Promise.all(names)).flat().filter((name) => !name.startsWith('.image-service') || /\/./.test(name));
}

const uploads = ['/iso?name=a.iso', '/microkernel?name=k', '/images?name=a&version=1&isoclient=a.iso'];
const multipart = 'Content-Type: multipart/form-data; boundary=b\r\n';
const formStart = '--b\r\nContent-Disposition: form-data; name="file"; filename="f.iso"\r\n\r\n';

for (const path of uploads) {
  t.test(`an upload to ${path} that is larger than maxUploadBytes is refused, and nothing of it stays`, async (t) => {
    const service = await startTestService(t, { maxUploadBytes: limit });
    const { north } = service;
    const put = `PUT ${path} HTTP/1.1\r\n${host}`;
    await refused(t, north, `${put}Content-Length: ${limit + 1}\r\n\r\nx`, 413, 'announced');
    const expecting = `${put}Content-Length: ${limit + 1}\r\nExpect: 100-continue\r\n\r\n`;
    t.notMatch(await talk(north, expecting), /100 Continue/, 'nothing of it is asked for');
    const range = `Content-Range: bytes 10-${limit}/${limit + 1}\r\nContent-Length: ${limit - 9}\r\n`;
    await refused(t, north, `${put}${range}\r\nx`, 413, 'continued');
    await refused(t, north, `${put}${multipart}Content-Length: 9999999\r\n\r\n${formStart}`, 413, 'in a form');
    t.same(statusesOf(await endless(north, path, '', 'x'.repeat(50_000))), [413], 'without a length');
    const form = `${put}${multipart}Content-Length: ${limit * 2}\r\n\r\n${formStart}${'x'.repeat(limit + 50_000)}`;
    await refused(t, north, form, 413, 'in a form that might have been short enough');
    await waitFor('its end', async () => (await stored(service)).length === 0);
    t.same([json(await ask(north, '/iso')), json(await ask(north, '/images'))], [[], []]);
    const accepted = smallIso({ kernel: 'Linux' });
    t.ok(accepted.length <= limit);
    t.equal((await ask(north, path, { method: 'PUT', body: accepted })).status, 200);
  });
}

t.test('an upload may have just as many bytes as maxUploadBytes says', async (t) => {
  const { north } = await startTestService(t, { maxUploadBytes: limit });
  const body = Buffer.alloc(limit, 'x');
  t.equal((await ask(north, '/microkernel?name=a', { method: 'PUT', body })).status, 200);
  const chunked = { 'transfer-encoding': 'chunked' };
  t.equal((await ask(north, '/microkernel?name=b', { method: 'PUT', body, headers: chunked })).status, 200);
  t.match(json(await ask(north, '/microkernel')), [{ bytes: limit }, { bytes: limit }]);
});
