import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Access } from '../../lib/access/access.js';
import { type Entry, serializeEntries } from '../../lib/access/entries.js';
import { Throttle } from '../../lib/access/throttle.js';
import { Verifier } from '../../lib/access/verifier.js';
import { send } from '../../lib/http/reply.js';
import { createLog } from '../../lib/log.js';
import { CountedScrypt, basic, bearer, passwordEntry, tokenEntry } from '../fixtures/access.js';
import { ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, errorsOf, eventually, startHttp } from '../fixtures/http-server.js';
import { temporaryFolder } from '../fixtures/service.js';

interface Setup {
  readonly url: string;
  readonly file: string;
  readonly scrypt: CountedScrypt;
  readonly log: string[];
  readonly access: Access;
  /** What the server itself logged, and the methods of the requests that were let in. */
  readonly lines: string[];
  readonly served: string[];
  /** Methods of requests whose connection has closed. */
  readonly left: string[];
  readonly write: (entries: readonly Entry[]) => Promise<void>;
}

/** A server that lets in whom a file names, and answers with the method. */
async function guarded(t: Test, text?: string): Promise<Setup> {
  const file = join(await temporaryFolder(t), 'auth.json');
  if (text !== undefined) await writeFile(file, text, { mode: 0o600 });
  const scrypt = new CountedScrypt();
  const log: string[] = [];
  const verifier = new Verifier(scrypt.hash, new Throttle());
  const access = await Access.open(
    file,
    createLog(0, (line) => log.push(line)),
    verifier,
  );
  const served: string[] = [];
  const left: string[] = [];
  const { url, lines } = await startHttp(t, () => async (exchange) => {
    exchange.closed.addEventListener('abort', () => left.push(exchange.request.method ?? ''));
    await access.check(exchange);
    served.push(exchange.request.method ?? '');
    send(exchange, 200, 'text/plain', exchange.request.method ?? '');
    return true;
  });
  const write = (entries: readonly Entry[]) => writeFile(file, serializeEntries(entries), { mode: 0o600 });
  return { url, file, scrypt, log, access, lines, served, left, write };
}

const { hash } = new CountedScrypt();

async function people() {
  const reader = await tokenEntry('reader', {}, hash);
  const writer = await tokenEntry('writer', { scope: 'write' }, hash);
  const anna = await passwordEntry('anna', 'correct horse', { scope: 'write' }, hash);
  const otto = await passwordEntry('otto', 'battery staple', {}, hash);
  const text = serializeEntries([reader.entry, writer.entry, anna, otto]);
  return { reader, writer, text };
}

t.test('who has no credentials is told which there are, and OPTIONS needs none', async (t) => {
  const { url, scrypt } = await guarded(t, '{"entries": []}');
  for (const headers of [{}, { authorization: 'Digest a="b"' }, { authorization: 'Basic' }]) {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']) {
      const answer = await ask(url, '/', { method, headers });
      t.equal(answer.status, 401, method);
      const expected = 'Bearer realm="image-service", Basic realm="image-service", charset="UTF-8"';
      t.equal(answer.headers['www-authenticate'], expected);
      t.equal(answer.headers['cache-control'], 'no-store');
      if (method !== 'HEAD') t.match(json(answer), { code: 'UNAUTHORIZED', message: /token.*password/ });
    }
  }
  t.equal((await ask(url, '/', { method: 'OPTIONS' })).status, 200);
  t.equal(scrypt.calls, 0);
});

t.test('who may write may read, and who may read may not write', async (t) => {
  const { reader, writer, text } = await people();
  const { url } = await guarded(t, text);
  const readers = [bearer(reader.token), basic('otto', 'battery staple')];
  const writers = [bearer(writer.token), basic('anna', 'correct horse')];
  for (const headers of [...readers, ...writers]) {
    for (const method of ['GET', 'HEAD']) t.equal((await ask(url, '/', { method, headers })).status, 200, method);
  }
  for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
    for (const headers of writers) t.equal((await ask(url, '/', { method, headers })).status, 200, method);
    for (const [index, headers] of readers.entries()) {
      const answer = await ask(url, '/', { method, headers });
      t.equal(answer.status, 403, method);
      t.match(json(answer), { code: 'FORBIDDEN', message: /may only read/ });
      // RFC 6750 3.1.
      const failure = 'error="insufficient_scope", scope="write"';
      t.equal(answer.headers['www-authenticate']?.includes(failure), index === 0);
    }
  }
});

t.test('wrong credentials are 401, are logged with the address, and none of them with their words', async (t) => {
  const { reader, text } = await people();
  const { url, log } = await guarded(t, text);
  const secret = `${reader.token.slice(0, -8)}12345678`;
  const token = await ask(url, '/', { headers: bearer(secret) });
  t.equal(token.status, 401);
  t.match(token.headers['www-authenticate'], /^Bearer realm="image-service", error="invalid_token", Basic /);
  for (const name of ['anna', 'nobody']) {
    const password = await ask(url, '/', { headers: basic(name, 'open sesame') });
    t.equal(password.status, 401);
    t.match(json(password), { message: 'The name or the password is wrong' });
    t.notMatch(password.headers['www-authenticate'], /error/);
  }
  t.equal((await ask(url, '/', { headers: basic('anna', 'correct horse') })).status, 200);
  t.equal((await ask(url, '/', { headers: bearer(reader.token) })).status, 200);
  const lines = log.join('');
  t.match(lines, /warning +northbound: wrong token from 127\.0\.0\.1\n/);
  t.match(lines, /warning +northbound: wrong password from 127\.0\.0\.1\n/);
  for (const word of [secret, reader.parts.secret, 'open sesame', 'correct horse', 'nobody']) {
    t.notOk(lines.includes(word), word);
  }
});

t.test('the eleventh wrong password within a minute is 429, and says when to come again', async (t) => {
  const { writer, text } = await people();
  const { url, scrypt } = await guarded(t, text);
  for (let guess = 0; guess < 10; guess++) {
    t.equal((await ask(url, '/', { headers: basic('anna', `guess ${guess}`) })).status, 401);
  }
  const slowed = await ask(url, '/', { headers: basic('anna', 'correct horse') });
  t.equal(slowed.status, 429);
  t.match(json(slowed), { code: 'TOO_MANY_REQUESTS' });
  const seconds = Number(slowed.headers['retry-after']);
  t.ok(seconds >= 1 && seconds <= 6, String(seconds));
  t.equal(scrypt.calls, 10);
  t.equal((await ask(url, '/', { headers: bearer(writer.token) })).status, 200, 'a token from there is let in');
});

t.test('a change of the file holds for the next request', async (t) => {
  const { reader, writer } = await people();
  const { url, write, scrypt } = await guarded(t);
  const status = async (token: string) => (await ask(url, '/', { headers: bearer(token) })).status;
  t.equal(await status(reader.token), 401, 'there is no file yet');
  await write([reader.entry]);
  t.equal(await status(reader.token), 200);
  t.equal(await status(reader.token), 200);
  t.equal(scrypt.calls, 2, 'what did not change is not read again');
  await write([writer.entry]);
  t.equal(await status(reader.token), 401);
  t.equal(await status(writer.token), 200);
});

t.test('a file that breaks changes nothing, and is told of once', async (t) => {
  const { reader, text } = await people();
  const { url, file, log, write, access } = await guarded(t, text);
  const status = async () => (await ask(url, '/', { headers: bearer(reader.token) })).status;
  const told = () => log.filter((line) => line.includes(' critical ')).length;
  await writeFile(file, `{"entries": ["${reader.parts.secret}"`);
  for (let time = 0; time < 3; time++) t.equal(await status(), 200);
  t.equal(told(), 1);
  t.match(log.join(''), /critical authFile ".*": it is not JSON: the tokens and passwords from before stay in force/);
  t.notOk(log.join('').includes(reader.parts.secret));
  await writeFile(file, '{"entries": [{}]}');
  await access.reload();
  t.equal(told(), 2, 'another break is told of, also without a request');
  await write([reader.entry]);
  t.equal(await status(), 200);
  t.equal(told(), 2);
  await rm(file);
  t.equal(await status(), 401, 'without the file nobody is let in');
  t.match(log.join(''), /critical authFile ".*" is missing/);
});

t.test('a broken file keeps the service from starting, a missing one does not', async (t) => {
  for (const text of ['', '{', '{"entries": [{"name": "x"}]}']) {
    await t.rejects(guarded(t, text), { code: 'BAD_REQUEST', message: /^authFile ".*auth\.json": / }, text);
  }
  const { log, url } = await guarded(t);
  t.match(log.join(''), /critical .*is missing: northbound lets nobody in until "image-service token add" has made it/);
  t.equal((await ask(url, '/', { headers: basic('', '') })).status, 401);
});

t.test('a file that others can read or change is warned of', async (t) => {
  const { file, log, access } = await guarded(t, '{"entries": []}');
  t.notMatch(log.join(''), /warning/);
  await chmod(file, 0o640);
  await access.reload();
  t.notMatch(log.join(''), /warning/, 'a group may read it');
  for (const mode of [0o604, 0o660]) {
    await chmod(file, mode);
    await access.reload();
    t.match(log.pop(), /warning .*open to others than its owner/, mode.toString(8));
  }
});

t.test('a client that leaves while its token is checked is not answered', async (t) => {
  const { writer, text } = await people();
  const { url, scrypt, lines, served, left } = await guarded(t, text);
  const hold = deferred();
  scrypt.gate = hold.promise;
  const connection = await Connection.open(url);
  connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${writer.token}\r\nContent-Length: 9\r\n\r\nabc`);
  while (scrypt.running === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  connection.socket.destroy();
  await connection.closed;
  t.ok(await eventually(() => left.includes('PUT')), 'the server has noticed');
  hold.resolve();
  t.equal((await ask(url, '/', { headers: bearer(writer.token) })).status, 200);
  t.same(served, ['GET']);
  t.same(errorsOf(lines), []);
});
