import { execFile } from 'node:child_process';
import { appendFile, mkdir, open, rename, rm, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { ask, json } from '../fixtures/client.js';
import { descriptorsBelow, makeFifo } from '../fixtures/folder-setup.js';
import { errorsOf, eventually, readAll } from '../fixtures/http-server.js';
import { startSouthbound } from '../fixtures/southbound.js';
import { begin, finish } from '../fixtures/slow-download.js';

/** Bytes: more than the kernel's socket buffers take. */
const large = 48 * 2 ** 20;

/** How many of the files that the tests change are open. */
function openBelow(root: string): Promise<number> {
  return descriptorsBelow(join(root, 'plain/'));
}

/** Makes a file of zeros that ends with `the end`. */
async function makeLarge(path: string): Promise<void> {
  const file = await open(path, 'w');
  await file.write('the end', large - 7);
  await file.close();
}

t.test('a file that shrinks under a download cuts the connection, and is served as it is now', async (t) => {
  const { south, root, log } = await startSouthbound(t);
  const path = join(root, 'plain/large');
  await makeLarge(path);
  const response = await begin(`${south}/plain/large`);
  t.equal(response.headers['content-length'], String(large));
  await truncate(path, 1000);
  const { bytes, complete } = await finish(response);
  t.equal(complete, false);
  t.ok(bytes < large, `${bytes} bytes`);
  const now = await ask(south, '/plain/large');
  t.same([now.status, now.body.length], [200, 1000]);
  t.not(now.headers.etag, response.headers.etag);
  t.ok(await eventually(async () => (await openBelow(root)) === 0));
  t.same(
    errorsOf(log).filter((line) => line.includes('internal')),
    [],
  );
});

t.test('of a file that grows under a download no byte more comes than was announced', async (t) => {
  const { south, root } = await startSouthbound(t);
  const path = join(root, 'plain/large');
  await makeLarge(path);
  const { hostname, port } = new URL(south);
  const socket = connect(Number(port), hostname);
  socket.write('GET /plain/large HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(socket, 'readable');
  await appendFile(path, Buffer.alloc(100_000, 'x'));
  socket.write('HEAD /plain/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  const received = (await readAll(socket)).toString('latin1');
  t.match(received.slice(0, 500), `Content-Length: ${large}\r\n`);
  const [body = '', next = ''] = received.slice(received.indexOf('\r\n\r\n') + 4).split('the end');
  t.equal(body.length, large - 7);
  t.match(next, /^HTTP\/1\.1 200 /, 'the connection is still in step');
  t.match(next, `Content-Length: ${large + 100_000}\r\n`);
});

for (const [how, change] of Object.entries({
  'replaced by a rename': async (path: string) => {
    await writeFile(`${path}.new`, Buffer.alloc(large, 'n'));
    await rename(`${path}.new`, path);
  },
  deleted: (path: string) => unlink(path),
})) {
  t.test(`a file that is ${how} under a download is sent on as it was`, async (t) => {
    const { south, root } = await startSouthbound(t);
    const path = join(root, 'plain/large');
    await makeLarge(path);
    const response = await begin(`${south}/plain/large`);
    const tag = response.headers.etag ?? '';
    await change(path);
    const body = await readAll(response);
    t.equal(body.length, large);
    t.equal(body.subarray(-7).toString(), 'the end');
    const rest = await ask(south, '/plain/large', { headers: { range: 'bytes=-7', 'if-range': tag } });
    t.ok(rest.status === 404 || (rest.status === 200 && rest.body.length === large), 'and no rest of another one');
  });
}

t.test('what is no file costs one 404 and holds up nobody', async (t) => {
  const { south, root } = await startSouthbound(t);
  const at = (name: string) => join(root, 'plain', name);
  await makeFifo(at('fifo'));
  await promisify(execFile)('mknod', [at('device'), 'c', '1', '3']).catch(() => symlink('/dev/zero', at('device')));
  await symlink('/dev/zero', at('to-device'));
  await symlink('fifo', at('to-fifo'));
  await symlink('loop', at('loop'));
  await symlink('nowhere', at('broken'));
  const socket = createServer().listen(at('socket'));
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  const names = ['fifo', 'device', 'to-device', 'to-fifo', 'loop', 'loop/x', 'broken', 'socket', 'file/x', 'none'];
  const paths = names.flatMap((name) => Array<string>(8).fill(`/plain/${name}`));
  const answers = await Promise.all(paths.map((path) => ask(south, path)));
  for (const [index, { status }] of answers.entries()) t.equal(status, 404, paths[index] ?? '');
  t.equal((await ask(south, '/plain/file')).status, 200, 'more of them than there are threads');
  t.same(
    (json(await ask(south, '/plain/?format=json')) as { name: string }[]).map(({ name }) => name),
    ['broken', 'empty', 'file', 'loop', 'to-device', 'to-fifo'],
  );
  t.ok(await eventually(async () => (await openBelow(root)) === 0));
});

t.test('files that come and go all the time are there or not there, whole', async (t) => {
  const { south, root, log } = await startSouthbound(t);
  const path = join(root, 'plain/now');
  const over = new AbortController();
  const changing = (async () => {
    for (let round = 0; !over.signal.aborted; round += 1) {
      const text = `${round % 10}`.repeat(1 + (round % 5000));
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
      if (round % 3 === 0) await rm(path);
    }
  })();
  const seen = new Set<number>();
  for (let run = 0; run < 300; run += 1) {
    const { status, text, complete } = await ask(south, '/plain/now');
    seen.add(status);
    if (status === 200 && complete && new Set(text).size === 1) continue;
    if (status !== 404) t.fail(`${status} ${text.slice(0, 100)}`);
  }
  over.abort();
  await changing;
  t.ok(seen.has(200));
  t.ok(await eventually(async () => (await openBelow(root)) === 0));
  t.same(errorsOf(log), []);
});

t.test('ten downloads that are broken off leave no descriptor', async (t) => {
  const { south, root, log } = await startSouthbound(t);
  await makeLarge(join(root, 'plain/large'));
  await mkdir(join(root, 'plain/folder'));
  const responses = await Promise.all(Array.from({ length: 10 }, () => begin(`${south}/plain/large`)));
  t.ok((await openBelow(root)) > 0, 'those who came at the same time share one');
  for (const response of responses) response.destroy();
  t.ok(await eventually(async () => (await openBelow(root)) === 0));
  t.same(errorsOf(log), []);
});
