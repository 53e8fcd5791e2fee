import { PassThrough } from 'node:stream';
import t from 'tap';
import { lingerLimits } from '../../lib/http/linger.js';
import { refuseBytes, requestTimeout } from '../../lib/http/refusal.js';
import { answersOf } from '../fixtures/answers.js';

const timeouts = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

t.test('each reason has its status, and the answer says why in JSON', (t) => {
  const cases: [reason: string | undefined, status: number, code: string][] = [
    [requestTimeout, 408, 'TIMEOUT'],
    ['HPE_HEADER_OVERFLOW', 431, 'BAD_REQUEST'],
    ['HPE_INVALID_METHOD', 400, 'BAD_REQUEST'],
    [undefined, 400, 'BAD_REQUEST'],
  ];
  for (const [reason, status, code] of cases) {
    const socket = new PassThrough();
    refuseBytes(socket, reason, 'words');
    const [answer, ...others] = answersOf(String(socket.read()));
    t.same([answer?.status, others, socket.writableEnded], [status, [], true]);
    t.match(answer?.head, /^connection: close\r$/im);
    t.match(JSON.parse(answer?.body ?? ''), { code, message: status === 408 ? /in time/ : /words/ });
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
