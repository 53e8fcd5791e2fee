import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { download, downloadText, type DownloadOptions, type Origin } from '../../lib/images/download.js';
import { TemporaryFailure } from '../../lib/images/download-failure.js';
import { checkDownloadUrl } from '../../lib/images/download-url.js';
import { ftpEnd, ftpServer, needsFtp } from '../fixtures/download-ftp-server.js';
import { mirror, type Fate } from '../fixtures/download-mirror.js';
import { farEnd, rawEnd } from '../fixtures/download-server.js';
import { MemoryTarget } from '../fixtures/download-target.js';
import { Random } from '../fixtures/random.js';

const content = randomBytes(2_000_000);
const tag = '"one"';
const origin: Origin = { validator: tag, length: content.length };

/** Downloads without waiting, and keeps the pauses in milliseconds. */
async function fetch(url: string, target = new MemoryTarget(), changed: Partial<DownloadOptions> = {}) {
  const pauses: number[] = [];
  const delay = (milliseconds: number) => Promise.resolve(pauses.push(milliseconds));
  const { signal } = new AbortController();
  const error: unknown = await download(checkDownloadUrl(`${url}/x.iso`), target, {
    ...{ signal, idleTimeout: 5000, delay },
    ...changed,
  }).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  return { target, pauses, error };
}

/** Fates in order; the last one for all that follow. */
function inOrder(...fates: [Fate, ...Fate[]]): (index: number) => Fate {
  return (index) => fates[index] ?? fates.at(-1) ?? 'whole';
}

function answer(status: number, headers: Readonly<Record<string, string>> = {}): Fate {
  return (_request, response) => response.writeHead(status, headers).end();
}

const edition = { content, tag };

t.test('a new file comes in one try', async (t) => {
  const far = await mirror(t, () => edition, inOrder('whole'));
  const { target, pauses, error } = await fetch(far.url);
  t.equal(error, undefined);
  t.ok(target.content.equals(content));
  t.same([target.origin, target.begins, pauses], [origin, 1, []]);
});

t.test('a download that is cut at any places goes on there, and every byte is right', async (t) => {
  const random = new Random(20240102);
  for (let run = 0; run < 20; run++) {
    const cuts = Array.from({ length: 12 }, () => 1 + random.below(200_000));
    const far = await mirror(t, () => edition, inOrder(cuts[0] ?? 1, ...cuts.slice(1), 'whole'));
    const { target, error } = await fetch(far.url);
    t.equal(error, undefined);
    t.ok(target.content.equals(content), cuts.join());
    t.equal(target.begins, 1);
    const asked = far.headers.slice(1).map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]));
    t.same(
      asked,
      [...asked].sort((a, b) => a - b),
      'it never goes back',
    );
  }
});

t.test('a download goes on after a restart of the service', async (t) => {
  const far = await mirror(t, () => edition, inOrder('whole'));
  const { target, error } = await fetch(far.url, MemoryTarget.of(content.subarray(0, 1_500_000), origin));
  t.equal(error, undefined);
  t.ok(target.content.equals(content));
  t.equal(target.begins, 0);
  t.match(far.headers, [{ range: 'bytes=1500000-', 'if-range': tag }]);
});

t.test('a file that was whole already is not fetched again, if it still is the same', async (t) => {
  const far = await mirror(t, (index) => (index === 0 ? edition : { content, tag: '"two"' }), inOrder('whole'));
  const first = await fetch(far.url, MemoryTarget.of(content, origin));
  t.equal(first.error, undefined);
  t.match(far.headers, [{ range: `bytes=${content.length - 1}-` }]);
  t.ok(first.target.content.equals(content));
  t.equal(first.target.begins, 0);
  const second = await fetch(far.url, first.target);
  t.equal(second.error, undefined);
  t.equal(second.target.begins, 1, 'another file by now');
  t.equal(second.target.origin?.validator, '"two"');
});

t.test('bytes that cannot be continued are dropped', async (t) => {
  const cases: [what: string, had: Buffer, origin: Origin][] = [
    ['no validator', content.subarray(0, 100), { validator: undefined, length: content.length }],
    ['more than the file has', Buffer.concat([content, content]), origin],
    ['none', Buffer.alloc(0), origin],
    ['one, and it is all', content.subarray(0, 1), { validator: tag, length: 1 }],
  ];
  for (const [what, had, former] of cases) {
    const far = await mirror(t, () => edition, inOrder('whole'));
    const { target, error } = await fetch(far.url, MemoryTarget.of(had, former));
    t.equal(error, undefined, what);
    t.ok(target.content.equals(content), what);
    t.equal(far.headers[0]?.range, undefined, what);
  }
});

t.test('a file that changes between two tries begins anew, and no byte of the old one stays', async (t) => {
  const other = randomBytes(1_000_000);
  const editions = [edition, { content: other, tag: '"two"' }];
  const far = await mirror(
    t,
    (index) => editions[index] ?? { content: other, tag: '"two"' },
    inOrder(700_000, 400_000, 'whole'),
  );
  const { target, error } = await fetch(far.url);
  t.equal(error, undefined);
  t.ok(target.content.equals(other));
  t.same([target.begins, target.origin], [2, { validator: '"two"', length: other.length }]);
});

t.test('a server that does not know ranges sends the file from its start, a bounded number of times', async (t) => {
  for (const [what, now] of [
    ['ignores them', { content, tag, knowsRanges: false }],
    ['says nothing of the file', { content }],
  ] as const) {
    const lucky = await mirror(t, () => now, inOrder(1000, 2000, 'whole'));
    const good = await fetch(lucky.url);
    t.equal(good.error, undefined, what);
    t.ok(good.target.content.equals(content), what);
    t.equal(good.target.begins, 3, what);
    const hopeless = await mirror(
      t,
      () => now,
      (index) => 1000 + index,
    );
    const bad = await fetch(hopeless.url, undefined, { tries: 3 });
    const host = new URL(hopeless.url).host;
    t.match(bad.error, {
      code: 'BAD_GATEWAY',
      message: `The download from ${host} broke off and had to begin anew 3 times`,
    });
    t.equal(bad.target.begins, 3, what);
  }
});

t.test('a server that gives nothing more is asked eight times, and each new byte counts anew', async (t) => {
  const host = (url: string) => new URL(url).host;
  const stuck = await mirror(
    t,
    () => edition,
    (index) => (index === 0 ? 1000 : 0),
  );
  const none = await fetch(stuck.url);
  t.equal(stuck.headers.length, 8);
  t.same([none.target.bytes, none.target.begins], [1000, 1]);
  t.match(none.error, {
    name: 'ServiceError',
    code: 'BAD_GATEWAY',
    message: `The download from ${host(stuck.url)} broke off after 1000 of 2000000 bytes; given up after 8 tries without a new byte`,
  });
  t.notOk(none.error instanceof TemporaryFailure);
  const slow = await mirror(
    t,
    () => edition,
    (index) => (index % 7 === 6 ? 1000 : answer(503)),
  );
  const some = await fetch(slow.url, MemoryTarget.of(content.subarray(0, content.length - 5000), origin));
  t.equal(some.error, undefined);
  t.equal(slow.headers.length, 35);
  t.ok(some.target.content.equals(content));
});

t.test('the first bytes of another file are progress, though there were more of the former one', async (t) => {
  const far = await mirror(t, () => edition, inOrder(answer(503), 10, answer(503), 'whole'));
  const former = MemoryTarget.of(content.subarray(0, 1000), { validator: '"former"', length: 5000 });
  const { error, target } = await fetch(far.url, former, { tries: 3 });
  t.equal(error, undefined);
  t.ok(target.content.equals(content));
});

t.test('the pauses double up to half a minute, and start anew after progress', async (t) => {
  const far = await mirror(
    t,
    () => edition,
    (index) => (index === 9 ? 10 : answer(500)),
  );
  const { pauses } = await fetch(far.url, MemoryTarget.of(content.subarray(0, 10), origin), { tries: 10 });
  const most = [1, 2, 4, 8, 16, 30, 30, 30, 30].map((seconds) => seconds * 1000);
  t.equal(pauses.length, 18);
  for (const [index, pause] of pauses.entries()) {
    const longest = most[index % 9] ?? 0;
    t.ok(pause <= longest && pause >= longest * 0.75, `${index}: ${pause}`);
  }
});

t.test('a server may ask for a longer pause, but not for any', async (t) => {
  const after = (seconds: string) => answer(429, { 'Retry-After': seconds });
  const far = await mirror(t, () => edition, inOrder(after('60'), after('0'), after('999999999'), 'whole'));
  const { pauses, error } = await fetch(far.url);
  t.equal(error, undefined);
  t.equal(pauses[0], 60_000);
  t.ok(pauses[1] !== undefined && pauses[1] >= 1500 && pauses[1] <= 2000);
  t.equal(pauses[2], 300_000);
});

t.test('what cannot get better ends a download at once', async (t) => {
  const cases: [what: string, fate: Fate, message: RegExp][] = [
    ['not found', answer(404), /answered 404 Not Found$/],
    ['forbidden', answer(403), /answered 403 Forbidden$/],
    ['a bad redirect', answer(302, { Location: 'file:///x' }), /redirects to something that is not allowed$/],
    ['a redirect to ftp', answer(302, { Location: 'ftp://h/x' }), /redirects from http to ftp$/],
  ];
  for (const [what, fate, message] of cases) {
    for (const target of [new MemoryTarget(), MemoryTarget.of(content.subarray(0, 10), origin)]) {
      const far = await mirror(t, () => edition, inOrder(fate));
      const { error, pauses, target: left } = await fetch(far.url.replace('//', '//bob:secret@'), target);
      t.match(error, { code: 'BAD_GATEWAY', message }, what);
      t.match(error, { message: /^127\.0\.0\.1:\d+ (?!.*(?:bob|secret|x\.iso))/ }, what);
      t.equal(far.headers.length, 1, what);
      t.same(pauses, [], what);
      t.equal(left.bytes, target.bytes, 'the bytes are kept for a better day');
    }
  }
  const far = await mirror(t, () => edition, inOrder('whole'));
  t.match((await fetch(far.url, undefined, { hosts: [] })).error, { code: 'FORBIDDEN' });
  t.equal(far.headers.length, 0);
});

t.test('an error of the file itself ends a download at once, and lets go of the server', async (t) => {
  const full = new ServiceError('NO_SPACE', 'There is no room left on the disk');
  const onBegin = new (class extends MemoryTarget {
    override begin = () => Promise.reject(full);
  })();
  const onAppend = new (class extends MemoryTarget {
    override append = (stream: Readable) => once(stream, 'readable').then(() => Promise.reject(full));
  })();
  for (const target of [onBegin, onAppend]) {
    const closed: Promise<unknown>[] = [];
    const far = await farEnd(t, (request, response) => {
      closed.push(once(request.socket, 'close'));
      response.writeHead(200, { 'Content-Length': content.length, ETag: tag });
      response.write('begin');
    });
    t.equal((await fetch(far.url, target)).error, full);
    t.equal(far.headers.length, 1);
    await Promise.all(closed);
  }
});

t.test('a server that is silent or refuses connections is asked again, and told in words at last', async (t) => {
  const silence = await rawEnd(t, 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n', 'silence');
  const silent = await fetch(silence, undefined, { idleTimeout: 50, tries: 3 });
  t.match(silent.error, { code: 'GATEWAY_TIMEOUT', message: /was silent for 0\.05 seconds; given up after 3 tries/ });
  t.equal(silent.pauses.length, 2);
  const mute = await rawEnd(t, '', 'silence');
  t.match((await fetch(mute, undefined, { idleTimeout: 50, tries: 2 })).error, { code: 'GATEWAY_TIMEOUT' });
  const far = await farEnd(t, () => undefined);
  far.server.close();
  await once(far.server, 'close');
  const refused = await fetch(far.url);
  t.match(refused.error, { code: 'BAD_GATEWAY', message: /it refuses the connection; given up after 8 tries/ });
  t.equal(refused.pauses.length, 7);
});

t.test('a server that comes back is used where it broke off', async (t) => {
  const reset: Fate = (request) => request.socket.resetAndDestroy();
  const far = await mirror(t, () => edition, inOrder(900_000, reset, answer(502), answer(408), 'whole'));
  const { target, error, pauses } = await fetch(far.url);
  t.equal(error, undefined);
  t.ok(target.content.equals(content));
  t.equal(pauses.length, 4);
  t.match(far.headers.at(-1), { range: 'bytes=900000-' });
});

t.test('an abort ends a download that waits for its next try', async (t) => {
  const far = await mirror(t, () => edition, inOrder(answer(503)));
  const abort = new AbortController();
  const url = checkDownloadUrl(`${far.url}/x.iso`);
  const ended = download(url, new MemoryTarget(), { signal: abort.signal, idleTimeout: 5000 });
  setTimeout(() => abort.abort(), 200);
  await t.rejects(ended, { name: 'AbortError' });
  t.equal(far.headers.length, 1);
});

t.test('an abort ends a download that is under way, and keeps its bytes', async (t) => {
  const abort = new AbortController();
  const far = await mirror(
    t,
    () => edition,
    inOrder((_request, response) => {
      response.writeHead(200, { 'Content-Length': content.length, ETag: tag }).write(content.subarray(0, 10));
    }),
  );
  const target = new (class extends MemoryTarget {
    override append(stream: Readable): Promise<void> {
      stream.once('data', () => setImmediate(() => abort.abort()));
      return super.append(stream);
    }
  })();
  const { error, pauses } = await fetch(far.url, target, { signal: abort.signal });
  t.match(error, { name: 'AbortError' });
  t.equal(target.bytes, 10);
  t.same(pauses, []);
});

t.test('a download by ftp that is cut at any places goes on there', await needsFtp(), async (t) => {
  const folder = t.testdir({});
  await writeFile(join(folder, 'x.iso'), content);
  const far = await ftpServer(t, folder, 70_000, 1, 0, 600_000, 0, 0, 400_001);
  const { target, error } = await fetch(far.url);
  t.equal(error, undefined);
  t.ok(target.content.equals(content));
  t.equal(target.begins, 1);
  t.ok(far.commands.some((command) => command.startsWith('REST')));
  const again = await fetch(far.url, target);
  t.equal(again.error, undefined);
  t.equal(again.target.begins, 1, 'a whole file is not fetched again');
  await utimes(join(folder, 'x.iso'), 1, 1);
  await fetch(far.url, target);
  t.equal(target.begins, 2, 'another time is another file');
  t.ok(target.content.equals(content));
});

t.test('an ftp server whose file cannot be continued is bounded too', async (t) => {
  const far = await ftpEnd(t, {
    content,
    answers: { MDTM: '502 No' },
    send: (data, say) => {
      say('150');
      data.write(content.subarray(0, 100), () => data.destroySoon());
      say('426 Aborted');
    },
  });
  const { error, target } = await fetch(far.url, undefined, { tries: 3 });
  t.match(error, { code: 'BAD_GATEWAY', message: /^The download from 127\.0\.0\.1:\d+ broke off / });
  t.ok(target.begins <= 3);
});

t.test('a short text comes into memory, also in two tries', async (t) => {
  const text = Buffer.from('d41d8cd9  ä.iso\n');
  const options = { signal: new AbortController().signal, idleTimeout: 5000, delay: () => Promise.resolve() };
  const far = await mirror(t, () => ({ content: text, tag }), inOrder(5, 'whole'));
  t.equal(await downloadText(checkDownloadUrl(far.url), text.length, options), text.toString());
  t.equal(far.headers.length, 2);
  const changing = await mirror(t, (index) => (index === 0 ? edition : { content: text }), inOrder(5, 'whole'));
  t.equal(await downloadText(checkDownloadUrl(changing.url), 1000, options), text.toString());
});

t.test('a text that is longer than it may be is not read to its end', async (t) => {
  const options = { signal: new AbortController().signal, idleTimeout: 5000 };
  const far = await mirror(t, () => edition, inOrder('whole'));
  const host = new URL(far.url).host;
  await t.rejects(downloadText(checkDownloadUrl(far.url), 1000, options), {
    code: 'BAD_GATEWAY',
    message: `${host} sent a file of more than 1000 bytes`,
  });
  t.equal(far.headers.length, 1);
});
