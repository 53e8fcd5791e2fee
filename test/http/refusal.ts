import { PassThrough } from 'node:stream';
import t from 'tap';
import { lingerLimits } from '../../lib/http/linger.js';
import { reasonOf, refuseBytes, requestTimeout } from '../../lib/http/refusal.js';
import { answersOf } from '../fixtures/answers.js';

const timeouts = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

const messages: Readonly<Record<number, RegExp>> = { 400: /words/, 408: /in time/, 414: /URL/, 431: /header/ };

t.test('each reason has its status, and the answer says why in JSON', (t) => {
  const cases: [reason: string | undefined, status: number, code: string][] = [
    [requestTimeout, 408, 'TIMEOUT'],
    ['HPE_HEADER_OVERFLOW', 431, 'HEADER_TOO_LARGE'],
    ['TARGET_OVERFLOW', 414, 'URL_TOO_LONG'],
    ['HPE_INVALID_METHOD', 400, 'BAD_REQUEST'],
    [undefined, 400, 'BAD_REQUEST'],
  ];
  for (const [reason, status, code] of cases) {
    const socket = new PassThrough();
    refuseBytes(socket, reason, 'words');
    const [answer, ...others] = answersOf(String(socket.read()));
    t.same([answer?.status, others, socket.writableEnded], [status, [], true]);
    t.match(answer?.head, /^connection: close\r$/im);
    t.match(JSON.parse(answer?.body ?? ''), { code, message: messages[status] });
    socket.destroy();
  }
  t.end();
});

t.test('a connection that its client does not close is closed, and one that is closed is not waited for', async (t) => {
  const idle = lingerLimits.idle;
  t.teardown(() => (lingerLimits.idle = idle));
  lingerLimits.idle = 10;
  const before = timeouts();
  const stays = new PassThrough();
  refuseBytes(stays, undefined, '');
  const alive = setInterval(() => undefined, 1000);
  await new Promise((resolve) => stays.once('close', resolve));
  clearInterval(alive);
  t.ok(stays.destroyed);
  t.equal(timeouts(), before);
});

t.test('an overflow is one of the URL where the bytes show it', (t) => {
  const overflow = (bytes: string | undefined, code = 'HPE_HEADER_OVERFLOW') =>
    reasonOf(Object.assign(new Error('x'), { code, ...(bytes !== undefined && { rawPacket: Buffer.from(bytes) }) }));
  const long = 'a'.repeat(20_000);
  t.equal(overflow(`GET /${long}`), 'TARGET_OVERFLOW');
  t.equal(overflow(`PUT /iso?name=${long} HTTP/1.1\r\n`), 'TARGET_OVERFLOW');
  t.equal(overflow(`GET / HTTP/1.1\r\nX: ${long}`), 'HPE_HEADER_OVERFLOW');
  t.equal(overflow(long), 'HPE_HEADER_OVERFLOW', 'a part of what nobody knows');
  t.equal(overflow(undefined), 'HPE_HEADER_OVERFLOW');
  t.equal(overflow(`GET /${long}`, 'HPE_INVALID_METHOD'), 'HPE_INVALID_METHOD');
  t.equal(reasonOf(new Error('x')), undefined);
  t.end();
});
