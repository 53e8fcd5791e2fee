import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { bindPort } from '../../lib/workers/port.js';
import { temporaryFolder } from '../fixtures/service.js';
import { waitFor } from '../fixtures/wait.js';

const script = `
  import { createServer } from 'node:net';
  import { FairAccepting } from '${new URL('../../lib/http/fair-accepting.js', import.meta.url).href}';
  const accepting = new FairAccepting();
  let taken = 0;
  const server = createServer((socket) => {
    accepting.take();
    taken++;
    socket.on('error', () => undefined);
  });
  process.on('message', (message, socket) => {
    if (message === 'count') process.send(taken);
    else server.listen(socket, 1024, () => process.send('ready'));
  });
`;

async function askedFor(child: ChildProcess): Promise<number> {
  child.send('count');
  const [count] = (await once(child, 'message')) as [number];
  return count;
}

t.test('of many who connect at once each process takes some', async (t) => {
  const file = join(await temporaryFolder(t), 'server.mjs');
  await writeFile(file, script);
  const port = await bindPort('127.0.0.1', 0);
  const children = [fork(file), fork(file)];
  t.teardown(() => {
    port.close();
    for (const child of children) child.kill();
  });
  for (const child of children) {
    child.send('listen', port.socket as never);
    await once(child, 'message');
  }
  const sockets = Array.from({ length: 400 }, () => connect(port.port, '127.0.0.1'));
  t.teardown(() => sockets.forEach((socket) => socket.destroy()));
  let counts: number[] = [];
  await waitFor('all of them', async () => {
    counts = [];
    for (const child of children) counts.push(await askedFor(child));
    return counts.reduce((sum, count) => sum + count, 0) === sockets.length;
  });
  // Without it one of them often has nine tenths.
  t.ok(Math.min(...counts) > 40, counts.join());
});
