import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { checkUpload, openUpload } from '../../lib/http/body.js';
import { UploadProgress } from '../../lib/http/progress.js';
import { ask, json, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, everywhere, startHttp } from '../fixtures/http-server.js';
import { Random } from '../fixtures/random.js';

const percentages = Array.from({ length: 10 }, (_, index) => `Uploaded ${(index + 1) * 10} %\n`);
const finished = `${percentages.join('')}Upload finished!\n`;

/** Receives a body, and fails once so many bytes have come; a failure is answered as an upload's is. */
const uploading = (failAt = Infinity) =>
  everywhere(async (exchange) => {
    const { length } = checkUpload(exchange.request);
    const { stream } = openUpload(exchange);
    const progress = new UploadProgress(exchange, length);
    const receive = async () => {
      let bytes = 0;
      await new Promise<void>((resolve, reject) => {
        const more = (chunk: Buffer) => {
          bytes += chunk.length;
          progress.advance(bytes);
          if (bytes < failAt) return;
          stream.off('data', more).pause();
          reject(new ServiceError('NO_SPACE', 'There is no room left for the file'));
        };
        stream.once('end', resolve).on('data', more);
      });
    };
    try {
      await receive();
      progress.finish();
    } catch (error) {
      if (!exchange.response.headersSent || !(error instanceof ServiceError)) throw error;
      await progress.fail(error);
    }
  });

const chunked = { 'transfer-encoding': 'chunked' };

const head = (length: number, version = '1.1') =>
  `PUT / HTTP/${version}\r\nHost: a\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`;

t.test('an upload tells each tenth once and then its end, however large the file is', async (t) => {
  const { url } = await startHttp(t, uploading());
  for (const length of [1, 3, 9, 10, 11, 12_345, 3_000_000]) {
    const answer = await ask(url, '/', { method: 'PUT', body: Buffer.alloc(length) });
    t.same([answer.status, answer.text, answer.complete], [200, finished, true], `${length} bytes`);
    t.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
    t.equal(answer.headers['cache-control'], 'no-store');
    t.equal(answer.headers['x-accel-buffering'], 'no');
  }
});

t.test('an upload tells the same in whatever pieces it arrives', async (t) => {
  const random = new Random(10);
  const cases = Array.from({ length: 20 }, () => {
    const length = 1 + random.below(5000);
    return {
      length,
      marks: Array.from({ length: random.below(30) }, () => random.below(length)).sort((a, b) => a - b),
    };
  });
  const queue = [...cases];
  const { url } = await startHttp(
    t,
    everywhere((exchange) => {
      const { length = 0, marks = [] } = queue.shift() ?? {};
      const progress = new UploadProgress(exchange, length);
      for (const received of [...marks, length]) progress.advance(received);
      progress.finish();
      return undefined;
    }),
  );
  for (const { marks } of cases) t.equal((await ask(url, '/')).text, finished, marks.join());
});

t.test('each tenth is told when it has arrived, not at the end', async (t) => {
  const { url } = await startHttp(t, uploading());
  const connection = await Connection.open(url);
  connection.send(`${head(100)}${'x'.repeat(9)}`);
  for (const line of percentages) {
    t.notMatch(connection.received, line);
    connection.send('x');
    t.ok(await connection.until(line));
    connection.send('x'.repeat(line === percentages.at(-1) ? 0 : 9));
  }
  t.match(await connection.closed, 'Upload finished!');
});

t.test('without a length there are no percentages', async (t) => {
  const { url } = await startHttp(t, uploading());
  const answer = await ask(url, '/', { method: 'PUT', headers: chunked, body: Buffer.alloc(100_000) });
  t.same([answer.status, answer.text, answer.complete], [200, 'Upload finished!\n', true]);
});

t.test('HTTP/1.0 gets one answer, at the end', async (t) => {
  const { url } = await startHttp(t, uploading());
  const received = await talk(url, `${head(20, '1.0')}${'x'.repeat(20)}`);
  t.match(received, /^HTTP\/1\.1 200 OK\r\n/);
  t.match(received, /\r\n\r\nUpload finished!\n$/);
  t.notMatch(received, /transfer-encoding/i);
  const failing = await startHttp(t, uploading(10));
  t.match(await talk(failing.url, `${head(20, '1.0')}${'x'.repeat(20)}`), /^HTTP\/1\.1 507 /, 'and its true status');
});

t.test('a failure after the first line is told in the last one, and the answer is cut', async (t) => {
  const { url } = await startHttp(t, uploading(50));
  const connection = await Connection.open(url);
  connection.send(`${head(100)}${'x'.repeat(50)}`);
  await connection.until('Upload failed: There is no room left for the file\n');
  connection.send('x'.repeat(50));
  const received = await connection.closed;
  t.match(received, /^HTTP\/1\.1 200 /);
  t.match(
    received,
    /Uploaded 50 %[^]*Upload failed: There is no room left for the file\n\r\n$/,
    'no chunk that ends it',
  );
  t.notMatch(received, /Uploaded 60 %|finished/);
});

t.test('so every client notices, also one that sends all before it reads', async (t) => {
  const { url } = await startHttp(t, uploading(6_000_000));
  const size = 24 * 1024 * 1024;
  const answer = await ask(url, '/', { method: 'PUT', body: Buffer.alloc(size) });
  t.match(answer.text, /^Uploaded 10 %\n[^]*Upload failed: There is no room left for the file\n$/);
  t.equal(answer.complete, false);
  const connection = await Connection.open(url);
  connection.socket.pause();
  connection.send(head(size));
  await new Promise((resolve) => connection.socket.write(Buffer.alloc(size), resolve));
  connection.socket.resume();
  t.match(await connection.closed, /Upload failed: There is no room left for the file\n\r\n$/);
});

t.test('a failure after the last byte is told the same way', async (t) => {
  const { url } = await startHttp(t, uploading(100));
  const answer = await ask(url, '/', { method: 'PUT', body: 'x'.repeat(100) });
  t.equal(answer.text, `${percentages.join('')}Upload failed: There is no room left for the file\n`);
  t.equal(answer.complete, false);
});

t.test('a failure before the first line keeps its status', async (t) => {
  const { url } = await startHttp(t, uploading(1));
  const connection = await Connection.open(url);
  connection.send(`${head(100)}x`);
  t.match(await connection.until('}\n'), /^HTTP\/1\.1 507 /);
  connection.socket.destroy();
  const answer = await ask(url, '/', { method: 'PUT', headers: chunked, body: 'x'.repeat(100) });
  t.equal(answer.status, 507);
  t.match(json(answer), { code: 'NO_SPACE' });
});

t.test('a client that goes away while its failure is told leaves nothing waiting', async (t) => {
  const told = deferred();
  const { url } = await startHttp(
    t,
    everywhere(async (exchange) => {
      const progress = new UploadProgress(exchange, 100);
      progress.advance(10);
      await new Promise<void>((resolve) =>
        exchange.closed.addEventListener('abort', () => {
          resolve();
        }),
      );
      await progress.fail(new ServiceError('NO_SPACE', 'There is no room left for the file'));
      told.resolve();
    }),
  );
  const connection = await Connection.open(url);
  connection.send(head(100));
  await connection.until('Uploaded 10 %');
  connection.socket.resetAndDestroy();
  await told.promise;
});
