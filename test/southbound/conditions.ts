import { utimes } from 'node:fs/promises';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { ask } from '../fixtures/client.js';
import { both, content, startSouthbound } from '../fixtures/southbound.js';

const size = content.length;

const other = '"another"';

/** The headers of an answer by name, but for those that the connection has. */
function namesOf(headers: IncomingHttpHeaders): string[] {
  return Object.keys(headers)
    .filter((name) => name !== 'connection')
    .sort();
}

const open = ['access-control-allow-origin', 'access-control-expose-headers'];
const always = [...open, 'cache-control', 'date', 'etag', 'last-modified'];
const carried: Readonly<Record<number, readonly string[]>> = {
  200: [...always, 'accept-ranges', 'content-length', 'content-type', 'x-content-type-options'],
  206: [...always, 'accept-ranges', 'content-length', 'content-range', 'content-type', 'x-content-type-options'],
  304: always,
  412: [...always, 'accept-ranges', 'content-length', 'x-content-type-options'],
  416: [...always, 'accept-ranges', 'content-length', 'content-range', 'x-content-type-options'],
};

for (const path of both) {
  t.test(
    `every answer about ${path} follows from its conditions in their order, with the headers it needs`,
    async (t) => {
      const { south } = await startSouthbound(t);
      const { headers: known } = await ask(south, path);
      const tag = known.etag ?? '';
      const at = Date.parse(known['last-modified'] ?? '');
      t.match(tag, /^"[!#-~]+"$/, 'strong');
      const date = (seconds: number) => new Date(at + seconds * 1000).toUTCString();
      const [same, older, newer] = [date(0), date(-1), date(1)];
      const weak = `W/${tag}`;
      const many = `${other}, ${weak}`;
      const range = 'bytes=0-9';
      const beyond = 'bytes=99999-';
      const cases: [headers: OutgoingHttpHeaders, status: number][] = [
        [{}, 200],
        [{ range }, 206],
        [{ range: beyond }, 416],
        // 1 and 2: of the bytes that a writer knows, the tag counts, and the date only without it.
        [{ 'if-match': tag }, 200],
        [{ 'if-match': '*' }, 200],
        [{ 'if-match': `${other},${tag}` }, 200],
        [{ 'if-match': weak }, 412],
        [{ 'if-match': other }, 412],
        [{ 'if-match': other, 'if-unmodified-since': newer }, 412],
        [{ 'if-match': tag, 'if-unmodified-since': older }, 200],
        [{ 'if-unmodified-since': same }, 200],
        [{ 'if-unmodified-since': older }, 412],
        [{ 'if-unmodified-since': 'nonsense' }, 200],
        // 3 and 4: of those that a reader has, likewise.
        [{ 'if-none-match': tag }, 304],
        [{ 'if-none-match': weak }, 304],
        [{ 'if-none-match': many }, 304],
        [{ 'if-none-match': '*' }, 304],
        [{ 'if-none-match': other }, 200],
        [{ 'if-none-match': other, 'if-modified-since': newer }, 200],
        [{ 'if-none-match': tag, 'if-modified-since': older }, 304],
        [{ 'if-modified-since': same }, 304],
        [{ 'if-modified-since': newer }, 304],
        [{ 'if-modified-since': older }, 200],
        [{ 'if-modified-since': 'nonsense' }, 200],
        // The first two before the others, all before a range.
        [{ 'if-match': other, 'if-none-match': tag }, 412],
        [{ 'if-match': tag, 'if-none-match': tag }, 304],
        [{ 'if-unmodified-since': older, 'if-none-match': tag }, 412],
        [{ 'if-none-match': tag, range }, 304],
        [{ 'if-match': other, range }, 412],
        [{ 'if-match': other, range: beyond }, 412],
        [{ 'if-match': tag, range }, 206],
        [{ 'if-none-match': other, range }, 206],
        // 5: the rest of a file only of the very same file.
        [{ range, 'if-range': tag }, 206],
        [{ range, 'if-range': same }, 206],
        [{ range, 'if-range': weak }, 200],
        [{ range, 'if-range': other }, 200],
        [{ range, 'if-range': `${tag}, ${tag}` }, 200],
        [{ range, 'if-range': older }, 200],
        [{ range, 'if-range': newer }, 200],
        [{ range, 'if-range': '' }, 200],
        [{ range: beyond, 'if-range': other }, 200],
        [{ range: beyond, 'if-range': tag }, 416],
        [{ 'if-range': other }, 200],
      ];
      for (const [headers, status] of cases) {
        const answer = await ask(south, path, { headers });
        const bytes = { 200: size, 206: 10 }[status] ?? 0;
        t.same([answer.status, answer.body.length], [status, bytes], JSON.stringify(headers));
        t.same(namesOf(answer.headers), [...(carried[status] ?? [])].sort(), `the headers of a ${status}`);
        t.same([answer.headers.etag, answer.headers['last-modified']], [tag, same]);
        if (headers.range !== undefined) continue;
        const head = await ask(south, path, { method: 'HEAD', headers });
        t.same({ ...head.headers, date: '' }, { ...answer.headers, date: '' }, 'HEAD has the headers of GET');
        t.same([head.status, head.body.length], [status, 0]);
      }
    },
  );
}

t.test('conditions say nothing about what is not there', async (t) => {
  const { south } = await startSouthbound(t);
  const headers = { 'if-match': '"x"', 'if-none-match': '*', 'if-unmodified-since': new Date(0).toUTCString() };
  for (const path of ['/plain/none', '/ubuntu/14.04/none', '/none']) {
    t.equal((await ask(south, path, { headers })).status, 404, path);
  }
});

t.test('a date in any of the three formats counts', async (t) => {
  const { south } = await startSouthbound(t);
  const formats = ['Thu, 17 Apr 2014 12:34:56 GMT', 'Thursday, 17-Apr-14 12:34:56 GMT', 'Thu Apr 17 12:34:56 2014'];
  for (const date of formats) {
    t.equal((await ask(south, '/plain/file', { headers: { 'if-modified-since': date } })).status, 304, date);
    const headers = { range: 'bytes=0-1', 'if-range': date };
    t.equal((await ask(south, '/plain/file', { headers })).status, 206, date);
  }
});

t.test('a file from the future is as new as the answer, and its date decides nothing', async (t) => {
  const { south, root } = await startSouthbound(t);
  const future = new Date(Date.now() + 86_400_000);
  await utimes(join(root, 'plain/file'), future, future);
  const { headers } = await ask(south, '/plain/file');
  t.equal(headers['last-modified'], headers.date, 'RFC 9110 8.8.2.1');
  const since = headers['last-modified'] ?? '';
  const cases: [headers: OutgoingHttpHeaders, status: number][] = [
    [{ 'if-modified-since': since }, 200],
    [{ 'if-modified-since': future.toUTCString() }, 200],
    [{ 'if-unmodified-since': since }, 200],
    [{ range: 'bytes=0-1', 'if-range': since }, 200],
    [{ range: 'bytes=0-1', 'if-range': future.toUTCString() }, 200],
    [{ range: 'bytes=0-1', 'if-range': headers.etag }, 206],
    [{ 'if-none-match': headers.etag }, 304],
  ];
  for (const [asked, status] of cases) {
    t.equal((await ask(south, '/plain/file', { headers: asked })).status, status, JSON.stringify(asked));
  }
});

t.test('a file without a date has none, and dates decide nothing about it', async (t) => {
  const { south, root } = await startSouthbound(t);
  for (const seconds of [0, 1]) {
    await utimes(join(root, 'plain/file'), seconds, seconds);
    for (const name of ['if-modified-since', 'if-unmodified-since']) {
      const { status, headers } = await ask(south, '/plain/file', { headers: { [name]: new Date(0).toUTCString() } });
      t.equal(status, 200, name);
      t.notHas(headers, 'last-modified');
    }
  }
});
