import { randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import type { Continuation, FarEndOptions, Opened } from '../../lib/images/download-far-end.js';
import { TemporaryFailure } from '../../lib/images/download-failure.js';
import { openFtp } from '../../lib/images/download-ftp.js';
import { checkDownloadUrl } from '../../lib/images/download-url.js';
import { ftpEnd, ftpServer, needsFtp, type FtpTalk } from '../fixtures/download-ftp-server.js';
import { waitFor } from '../fixtures/wait.js';

const withServer = await needsFtp();
const content = randomBytes(3_000_000);
const changed = new Date('2024-01-02T03:04:05Z');
const stamp = '20240102030405';

function open(url: string, continuation?: Continuation, options: Partial<FarEndOptions> = {}): Promise<Opened> {
  const { signal } = new AbortController();
  return openFtp(checkDownloadUrl(url), { signal, idleTimeout: 5000, ...options }, continuation);
}

function after(offset: number, length: number | undefined = content.length, validator = stamp): Continuation {
  return { offset, origin: { validator, length } };
}

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'fulfilled',
    (error: unknown) => error,
  );
}

/** What reading a body to its end comes to. */
function outcomeOf(body: Readable): Promise<unknown> {
  return outcome(buffer(body));
}

async function plant(folder: string, name: string, bytes = content): Promise<void> {
  await writeFile(join(folder, name), bytes);
  await utimes(join(folder, name), changed, changed);
}

t.test('a file comes whole from a real server, to anonymous and to a user', withServer, async (t) => {
  const folder = t.testdir({ 'a folder': {} });
  await plant(folder, 'x.iso');
  await plant(join(folder, 'a folder'), ' ä ?.iso', Buffer.from('inner'));
  await plant(folder, 'empty', Buffer.alloc(0));
  const { url, commands } = await ftpServer(t, folder);
  const { body, origin, offset } = await open(`${url}/x.iso`);
  t.same({ origin, offset }, { origin: { validator: stamp, length: content.length }, offset: 0 });
  t.ok((await buffer(body)).equals(content));
  t.match(commands, ['USER anonymous', 'PASS anonymous@', 'TYPE I']);
  const asUser = url.replace('//', '//us%40er:p%3A%C3%A9@');
  t.equal((await buffer((await open(`${asUser}/a%20folder/%20%C3%A4%20%3F.iso`)).body)).toString(), 'inner');
  t.equal((await buffer((await open(`${url}/empty`)).body)).length, 0);
});

t.test('a download goes on at any offset of a file that is the same', withServer, async (t) => {
  const folder = t.testdir({});
  await plant(folder, 'x.iso');
  const { url, commands } = await ftpServer(t, folder);
  for (const at of [1, 1_234_567, content.length - 1]) {
    const { body, origin, offset } = await open(`${url}/x.iso`, after(at));
    t.same({ origin, offset }, { origin: { validator: stamp, length: content.length }, offset: at });
    t.ok((await buffer(body)).equals(content.subarray(at)), `${at}`);
    t.ok(commands.includes(`REST ${at}`));
  }
});

t.test('a file that has changed comes from its start', withServer, async (t) => {
  const folder = t.testdir({});
  await plant(folder, 'x.iso', Buffer.from('new'));
  const { url, commands } = await ftpServer(t, folder);
  for (const former of [after(2, 4), after(2, 3, '20240102030404'), after(2)]) {
    const { body, offset } = await open(`${url}/x.iso`, former);
    t.equal(offset, 0);
    t.equal((await buffer(body)).toString(), 'new');
  }
  t.notOk(commands.some((command) => command.startsWith('REST')));
});

t.test('what a real server refuses is told without user and password', withServer, async (t) => {
  const { url } = await ftpServer(t, t.testdir({ folder: {} }));
  const host = new URL(url).host;
  const cases: [url: string, message: string][] = [
    [`${url}/missing`, `${host} has no such file, or does not give it`],
    [`${url}/folder`, `${host} has no such file, or does not give it`],
    [`${url.replace('//', '//bob:secret@')}/x`, `${host} refuses the user or the password`],
  ];
  for (const [place, message] of cases) {
    const error = await outcome(open(place));
    t.match(error, { code: 'BAD_GATEWAY', message }, message);
    t.notOk(error instanceof TemporaryFailure, message);
  }
});

t.test('a transfer that is cut off breaks off, and never looks complete', withServer, async (t) => {
  const folder = t.testdir({});
  await plant(folder, 'x.iso');
  const cuts = [0, 1, 65_536, 1_000_003];
  const { url } = await ftpServer(t, folder, ...cuts);
  for (const cut of cuts) {
    const error = await outcome(open(`${url}/x.iso`).then(({ body }) => buffer(body)));
    t.ok(error instanceof TemporaryFailure, `${cut}`);
    t.match(error, { code: 'BAD_GATEWAY', message: /broke off/ });
  }
});

t.test('a server that knows little is enough', async (t) => {
  const bytes = Buffer.from('0123456789');
  const refused = '502 Not implemented';
  const cases: [talk: FtpTalk, validator: string | undefined, length: number | undefined, offset: number][] = [
    [{}, stamp, 10, 4],
    [{ answers: { SIZE: refused } }, stamp, undefined, 0],
    [{ answers: { SIZE: '213 10 bytes' } }, stamp, 10, 4],
    [{ answers: { SIZE: '213 ten' } }, stamp, undefined, 0],
    [{ answers: { MDTM: refused } }, undefined, 10, 0],
    [{ answers: { MDTM: '213 yesterday' } }, undefined, 10, 0],
    [{ answers: { REST: refused } }, stamp, 10, 0],
    [{ answers: { EPSV: refused } }, stamp, 10, 4],
    [{ answers: { EPSV: '229 Nonsense' } }, stamp, 10, 4],
    [{ answers: { EPSV: '229 Entering (|||1|)' } }, stamp, 10, 4],
    [{ answers: { OPTS: refused } }, stamp, 10, 4],
    [{ answers: { USER: '230 No password needed' } }, stamp, 10, 4],
  ];
  for (const [talk, validator, length, at] of cases) {
    const { url, sockets } = await ftpEnd(t, { content: bytes, ...talk });
    const { body, origin, offset } = await open(`${url}/x.iso`, after(4, 10));
    const what = JSON.stringify(talk);
    t.same({ origin, offset }, { origin: { validator, length }, offset: at }, what);
    t.equal((await buffer(body)).toString(), '0123456789'.slice(at), what);
    await waitFor('no connection stays', () => sockets.size === 0);
  }
});

t.test('what may pass is worth another try, and what lasts is not', async (t) => {
  const cases: [answers: Readonly<Record<string, string>>, mayPass: boolean, message: RegExp][] = [
    [{ '220': '421 Too many' }, true, /^127\.0\.0\.1:\d+ is not available at the moment$/],
    [{ '220': '120 In an hour' }, true, /answered 120$/],
    [{ '220': '500 Go away' }, false, /answered 500$/],
    [{ '220': 'HTTP/1.1 400 Bad Request' }, true, /was silent for 0\.3 seconds$/],
    [{ USER: '530 bob is unknown' }, false, /refuses the user or the password$/],
    [{ PASS: '332 Account' }, false, /answered 332$/],
    [{ TYPE: '504 No' }, false, /answered 504$/],
    [{ SIZE: '421 Bye' }, true, /is not available at the moment$/],
    [{ EPSV: '500 No', PASV: '500 No' }, false, /answered 500$/],
    [{ EPSV: '500 No', PASV: '227 Nonsense' }, false, /offers no data connection$/],
    [{ RETR: '425 No data connection' }, true, /answered 425$/],
    [{ RETR: '450 Busy' }, true, /answered 450$/],
    [{ RETR: '550 bob has no x.iso' }, false, /has no such file, or does not give it$/],
  ];
  for (const [answers, mayPass, message] of cases) {
    const { url, sockets } = await ftpEnd(t, { answers });
    const place = `${url.replace('//', '//bob:secret@')}/x.iso`;
    const error = await outcome(
      open(place, undefined, { idleTimeout: answers['220']?.startsWith('HTTP') ? 300 : 5000 }),
    );
    t.match(error, { message, code: /^(BAD_GATEWAY|GATEWAY_TIMEOUT)$/ }, JSON.stringify(answers));
    t.equal(error instanceof TemporaryFailure, mayPass, JSON.stringify(answers));
    t.notMatch(error, { message: /bob|secret/ });
    await waitFor('no connection stays', () => sockets.size === 0);
  }
  const { url } = await ftpEnd(t, {});
  const closed = url.replace(/\d+$/, '1');
  t.ok((await outcome(open(`${closed}/x`))) instanceof TemporaryFailure, 'refused');
  t.match(await outcome(open('ftp://no-such-host.invalid/x')), { message: /its name (is unknown|cannot be resolved)/ });
});

t.test('a server that falls silent, wherever, is a timeout and is left', async (t) => {
  const expected = { code: 'GATEWAY_TIMEOUT', message: /^127\.0\.0\.1:\d+ was silent for 0\.1 seconds$/ };
  for (const command of ['220', 'USER', 'PASS', 'TYPE', 'OPTS', 'SIZE', 'MDTM', 'REST', 'EPSV', 'RETR']) {
    const { url, sockets } = await ftpEnd(t, { content, answers: { [command]: null } });
    const error = await outcome(open(`${url}/x`, after(4), { idleTimeout: 100 }));
    t.match(error, expected, command);
    t.ok(error instanceof TemporaryFailure);
    await waitFor('no connection stays', () => sockets.size === 0);
  }
  const within = await ftpEnd(t, {
    send: (data, say) => {
      say('150 Soon');
      data.write('is');
    },
  });
  t.match(await outcomeOf((await open(`${within.url}/x`, undefined, { idleTimeout: 100 })).body), expected);
  const unconfirmed = await ftpEnd(t, {
    send: (data, say) => {
      say('150 Here');
      data.end('iso');
    },
  });
  t.match(await outcomeOf((await open(`${unconfirmed.url}/x`, undefined, { idleTimeout: 100 })).body), expected);
  for (const { sockets } of [within, unconfirmed]) await waitFor('no connection stays', () => sockets.size === 0);
});

t.test('a transfer is complete only with all its bytes and the word of the server', async (t) => {
  const broken = /^The download from 127\.0\.0\.1:\d+ broke off after 2 of 3 bytes$/;
  const cases: [what: string, send: FtpTalk['send'], message: RegExp, mayPass: boolean][] = [
    ['too few, and says all', (data, say) => (say('150'), data.end('is', () => say('226 Done'))), broken, true],
    ['says what failed', (data, say) => (say('150'), data.end('is', () => say('451 Disk'))), broken, true],
    ['aborts', (data, say) => (say('150'), data.write('is', () => say('426 Aborted'))), broken, true],
    [
      'too many',
      (data, say) => (say('150'), data.end('isos', () => say('226'))),
      /sent more than the 3 bytes that it had announced$/,
      false,
    ],
  ];
  for (const [what, send, message, mayPass] of cases) {
    const { url, sockets } = await ftpEnd(t, { ...(send && { send }) });
    const error = await outcome(open(`${url}/x`).then(({ body }) => buffer(body)));
    t.match(error, { code: 'BAD_GATEWAY', message }, what);
    t.equal(error instanceof TemporaryFailure, mayPass, what);
    await waitFor('no connection stays', () => sockets.size === 0);
  }
});

t.test('a file whose size nobody knows is complete only with the word of the server', async (t) => {
  const cases: [what: string, isComplete: boolean, send: FtpTalk['send']][] = [
    ['confirmed', true, (data, say) => (say('150'), data.end('is', () => say('226 Done')))],
    ['failed', false, (data, say) => (say('150'), data.end('is', () => say('451 Disk')))],
    ['reset', false, (data, say) => (say('150'), data.write('is', () => setTimeout(() => data.resetAndDestroy(), 50)))],
  ];
  for (const [what, isComplete, send] of cases) {
    const { url } = await ftpEnd(t, { answers: { SIZE: '502 No' }, ...(send && { send }) });
    const result = await outcomeOf((await open(`${url}/x`)).body);
    if (isComplete) t.equal(result, 'fulfilled', what);
    else t.match(result, { code: 'BAD_GATEWAY', message: /broke off after 2 bytes$/ }, what);
  }
});

t.test('an abort ends everything at every step', async (t) => {
  for (const command of ['220', 'PASS', 'SIZE', 'EPSV', 'RETR']) {
    const { url, sockets } = await ftpEnd(t, { answers: { [command]: null } });
    const abort = new AbortController();
    const ended = outcome(open(`${url}/x`, undefined, { signal: abort.signal }));
    await waitFor('it is on its way', () => sockets.size > 0);
    await wait(50);
    abort.abort();
    t.match(await ended, { name: 'AbortError' }, command);
    t.same(getEventListeners(abort.signal, 'abort'), []);
    await waitFor('no connection stays', () => sockets.size === 0);
  }
  const { url, sockets, commands } = await ftpEnd(t, { send: (data, say) => (say('150'), data.write('is')) });
  const abort = new AbortController();
  const { body } = await open(`${url}/x`, undefined, { signal: abort.signal });
  const ended = outcomeOf(body);
  abort.abort();
  t.match(await ended, { name: 'AbortError' });
  await waitFor('no connection stays', () => sockets.size === 0);
  t.same(getEventListeners(abort.signal, 'abort'), []);
  const asked = commands.length;
  t.match(await outcome(open(`${url}/x`, undefined, { signal: abort.signal })), { name: 'AbortError' });
  t.equal(commands.length, asked, 'aborted before it began');
});

t.test('a body that nobody wants any more leaves no connection', async (t) => {
  const { url, sockets } = await ftpEnd(t, { content });
  const { body } = await open(`${url}/x`);
  body.destroy();
  await waitFor('no connection stays', () => sockets.size === 0);
});

t.test('a slow reader slows the server, and is no silence', async (t) => {
  const total = 50_000_000;
  const { url } = await ftpEnd(t, {
    answers: { SIZE: `213 ${total}` },
    send: (data, say) => {
      say('150 Much');
      data.end(Buffer.alloc(total), () => say('226 Done'));
    },
  });
  const { body } = await open(`${url}/x`, undefined, { idleTimeout: 200 });
  await wait(500);
  t.ok(body.readableLength < 1_000_000, `${body.readableLength} bytes wait here`);
  let received = 0;
  let chunks = 0;
  const write = (chunk: Buffer, _encoding: string, done: () => void) => {
    received += chunk.length;
    setTimeout(done, chunks++ === 20 ? 500 : 0);
  };
  await pipeline(body, new Writable({ write, highWaterMark: 4_000_000 }));
  t.equal(received, total);
});

t.test('a host that is not listed is not asked', async (t) => {
  const { url, commands } = await ftpEnd(t, {});
  t.match(await outcome(open(`${url}/x`, undefined, { hosts: ['mirror.example.com'] })), { code: 'FORBIDDEN' });
  t.same(commands, []);
  const { body } = await open(`${url}/x`, undefined, { hosts: ['127.0.0.1'] });
  t.equal((await buffer(body)).toString(), 'iso');
});
