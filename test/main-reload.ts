import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { ServiceError } from '../lib/errors.js';
import { createLog } from '../lib/log.js';
import { Reloading } from '../lib/main-reload.js';

function setUp() {
  const lines: string[] = [];
  const reloads: { readonly end: () => void; readonly fail: (error: Error) => void }[] = [];
  const reload = () => new Promise<void>((end, fail) => reloads.push({ end, fail }));
  const log = createLog(0, (line) => lines.push(line.slice(25).trimEnd()));
  return { lines, reloads, reload, reloading: new Reloading(log) };
}

t.test('what is asked for while the service starts is done once when it has started', async (t) => {
  const { reloading, reloads, reload } = setUp();
  reloading.request();
  reloading.request();
  await turn();
  t.equal(reloads.length, 0);
  reloading.started(reload);
  await turn();
  t.equal(reloads.length, 1);
  reloads[0]?.end();
  await turn();
  t.equal(reloads.length, 1);
});

t.test('without a request nothing is read', async (t) => {
  const { reloading, reloads, reload } = setUp();
  reloading.started(reload);
  await turn();
  t.equal(reloads.length, 0);
});

t.test('requests during a reload make for one more, with what the file says then', async (t) => {
  const { reloading, reloads, reload } = setUp();
  reloading.started(reload);
  for (let count = 0; count < 3; count++) reloading.request();
  await turn();
  t.equal(reloads.length, 1);
  reloads[0]?.end();
  await turn();
  t.equal(reloads.length, 2);
  reloads[1]?.end();
  await turn();
  t.equal(reloads.length, 2);
});

t.test('what is wrong is said line by line, and the next request is heard', async (t) => {
  const { reloading, reloads, reload, lines } = setUp();
  reloading.started(reload);
  reloading.request();
  await turn();
  reloads[0]?.fail(new ServiceError('BAD_REQUEST', 'isoDirr: unknown\nrateLimit: too low'));
  await turn();
  t.same(lines, [
    'error    isoDirr: unknown',
    'error    rateLimit: too low',
    'error    nothing of the configuration has changed',
  ]);
  reloading.request();
  await turn();
  t.equal(reloads.length, 2);
});

t.test('while the service stops nothing is read any more', async (t) => {
  const { reloading, reloads, reload } = setUp();
  reloading.started(reload);
  reloading.end();
  reloading.request();
  await turn();
  t.equal(reloads.length, 0);
});
