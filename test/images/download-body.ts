import { text } from 'node:stream/consumers';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { Body, type BodyOptions } from '../../lib/images/download-body.js';
import { TemporaryFailure } from '../../lib/images/download-failure.js';

function bodyOf(changed: Partial<BodyOptions> = {}) {
  const calls: string[] = [];
  const flow = {
    resume: () => void calls.push('resume'),
    pause: () => void calls.push('pause'),
    close: () => void calls.push('close'),
  };
  return { body: new Body(flow, { host: 'h', offset: 0, length: 4, idleTimeout: 5000, ...changed }), calls };
}

/** What reading a body to its end comes to. */
function outcome(body: Body): Promise<unknown> {
  return text(body).catch((error: unknown) => error);
}

t.test('a body that has all its bytes ends, and closes its connection', async (t) => {
  for (const [offset, length] of [
    [0, 4],
    [10, 14],
    [0, undefined],
  ] as const) {
    const { body, calls } = bodyOf({ offset, length });
    body.receive(Buffer.from('ab'));
    body.receive(Buffer.from('cd'));
    body.complete();
    t.equal(await outcome(body), 'abcd');
    t.equal(calls.at(-1), 'close');
  }
});

t.test('a body that ends early breaks off, whether its far end noticed or not', async (t) => {
  const ended = bodyOf({ offset: 10, length: 14 });
  ended.body.receive(Buffer.from('ab'));
  ended.body.complete();
  const cut = bodyOf({ offset: 10, length: undefined });
  cut.body.receive(Buffer.from('ab'));
  cut.body.breakOff(new Error('reset'));
  for (const [{ body, calls }, bytes] of [
    [ended, '12 of 14'],
    [cut, '12'],
  ] as const) {
    const error = await outcome(body);
    t.ok(error instanceof TemporaryFailure);
    t.match(error, { code: 'BAD_GATEWAY', message: `The download from h broke off after ${bytes} bytes` });
    t.equal(calls.at(-1), 'close');
  }
});

t.test('an abort of the connection is no failure of the far end', async (t) => {
  const { body } = bodyOf();
  const aborted = new DOMException('aborted', 'AbortError');
  body.breakOff(aborted);
  t.equal(await outcome(body), aborted);
});

t.test('a far end that sends more than it announced is told so, once', async (t) => {
  const { body } = bodyOf({ offset: 1 });
  body.receive(Buffer.from('abcd'));
  body.receive(Buffer.from('e'));
  body.complete();
  const error = await outcome(body);
  t.match(error, { code: 'BAD_GATEWAY', message: 'h sent more than the 4 bytes that it had announced' });
  t.notOk(error instanceof TemporaryFailure);
});

t.test('a reader that is busy pauses the connection, and is no silence', async (t) => {
  const { body, calls } = bodyOf({ idleTimeout: 50, length: undefined });
  body.receive(Buffer.alloc(300_000));
  t.same(calls, ['pause']);
  await wait(200);
  t.notOk(body.destroyed);
  body.read();
  body.receive(Buffer.alloc(300_000));
  await wait(200);
  t.notOk(body.destroyed, 'busy again, with what it has read');
  const ended = outcome(body);
  t.match(await ended, { code: 'GATEWAY_TIMEOUT', message: 'h was silent for 0.05 seconds' }, 'now somebody waits');
  t.ok(calls.includes('resume'));
});
