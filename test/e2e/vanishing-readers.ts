import { isDeepStrictEqual } from 'node:util';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { heldResources } from '../fixtures/held-resources.js';
import { eventually } from '../fixtures/http-server.js';
import { startTestService } from '../fixtures/service.js';

t.setTimeout(120_000);

const { south, folder } = await startTestService(t);
const large = join(folder, 'static/large');
await writeFile(large, '');
// Far more than the buffers of a connection hold, and nothing but a hole on the disk.
await truncate(large, 100_000_000);
await writeFile(join(folder, 'static/small'), 'small');

const request = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

/** Lets clients come and go, and looks whether the process holds what it held before. */
async function leavesNothing(t: Test, visit: () => Promise<void>): Promise<void> {
  // What is opened once for all comes first.
  await ask(south, '/small');
  await visit();
  // Files stay open for a moment after their last reader.
  const isClosed = async () => (await descriptorsBelow(join(folder, 'static'))) === 0;
  const settled = async () => JSON.stringify(await heldResources());
  let last = '';
  await eventually(async () => (await isClosed()) && last === (last = await settled()));
  const before = await heldResources();
  for (let round = 0; round < 3; round += 1) await visit();
  let after = await heldResources();
  await eventually(async () => isDeepStrictEqual((after = await heldResources()), before));
  t.same(after, before);
  t.equal((await ask(south, '/small')).text, 'small', 'and it still serves');
}

/** So many connections, each of which has sent some bytes. */
async function clients(count: number, bytes: string): Promise<Connection[]> {
  const connections = await Promise.all(Array.from({ length: count }, () => Connection.open(south)));
  for (const connection of connections) connection.send(bytes);
  return connections;
}

const ends: Readonly<Record<string, (connection: Connection) => unknown>> = {
  resets: ({ socket }) => socket.resetAndDestroy(),
  closes: ({ socket }) => socket.destroy(),
};

const habits: Readonly<Record<string, { bytes: string; until?: string }>> = {
  'in the middle of a file': { bytes: request('/large'), until: 'HTTP/1.1 200' },
  'in the middle of parts': { bytes: request('/large', 'Range: bytes=0-9999999,20000000-90000000\r\n'), until: '206' },
  'with more requests in line': { bytes: request('/large').repeat(20), until: 'HTTP/1.1 200' },
  'before it has its answer': { bytes: request('/large') },
  'in the middle of a header': { bytes: 'GET /large HTTP/1.1\r\nHo' },
  'behind its answer': { bytes: request('/small'), until: 'small' },
  'behind a header that was no header': { bytes: 'garbage\r\n\r\n', until: 'HTTP/1.1 400' },
};

for (const [when, { bytes, until }] of Object.entries(habits)) {
  for (const [way, end] of Object.entries(ends)) {
    t.test(`a reader that ${way} its connection ${when} leaves nothing behind`, async (t) => {
      await leavesNothing(t, async () => {
        const connections = await clients(20, bytes);
        if (until !== undefined) await Promise.all(connections.map((connection) => connection.until(until)));
        for (const connection of connections) end(connection);
        await Promise.all(connections.map(({ closed }) => closed));
      });
    });
  }
}

t.test('readers that stop reading, and then leave, leave nothing behind', async (t) => {
  await leavesNothing(t, async () => {
    const connections = await clients(20, request('/large'));
    await Promise.all(connections.map((connection) => connection.until('HTTP/1.1 200')));
    for (const { socket } of connections) socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const { socket } of connections) socket.resetAndDestroy();
    await Promise.all(connections.map(({ closed }) => closed));
  });
});

t.test('thousands of clients that come and go leave nothing behind', async (t) => {
  await leavesNothing(t, async () => {
    for (let wave = 0; wave < 10; wave += 1) {
      const [silent, asking] = await Promise.all([clients(50, ''), clients(50, request('/small'))]);
      for (const { socket } of silent) socket.destroy();
      await Promise.all(asking.map((connection) => connection.until('small')));
      for (const [index, { socket }] of asking.entries()) {
        if (index % 2 === 0) socket.end();
        else socket.resetAndDestroy();
      }
      await Promise.all(asking.map(({ closed }) => closed));
    }
  });
});

t.test('hundreds of idle connections are held, and when they are gone nothing is left of them', async (t) => {
  await leavesNothing(t, async () => {
    const connections = await clients(300, request('/small'));
    await Promise.all(connections.map((connection) => connection.until('small')));
    for (const connection of connections) connection.send(request('/small'));
    await Promise.all(connections.map((connection) => connection.until((received) => /small[^]*small/.test(received))));
    for (const { socket } of connections) socket.destroy();
    await Promise.all(connections.map(({ closed }) => closed));
  });
});
