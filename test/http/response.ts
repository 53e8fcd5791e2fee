import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { responseClass } from '../../lib/http/response.js';
import { ask } from '../fixtures/client.js';

t.test('an answer says that it is the last one when that is so as its header goes out', async (t) => {
  const state = { isLast: false };
  const server = createServer({ ServerResponse: responseClass(() => state.isLast) }, (request, response) => {
    state.isLast = request.url?.startsWith('/last') ?? false;
    if (request.url?.endsWith('reason')) response.writeHead(200, 'Well', { 'X-Way': 'reason' });
    else if (request.url?.endsWith('headers')) response.writeHead(200, { 'X-Way': 'headers' });
    else response.setHeader('X-Way', 'implied');
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const way of ['reason', 'headers', 'implied']) {
    for (const place of ['last', 'other']) {
      const { headers } = await ask(url, `/${place}/${way}`, { headers: { Connection: 'keep-alive' } });
      t.equal(headers['x-way'], way);
      t.equal(headers.connection, place === 'last' ? 'close' : 'keep-alive', `${place} ${way}`);
    }
  }
});

t.test('an answer knows how many bytes its body has, however they are written', async (t) => {
  const counts: number[] = [];
  const server = createServer({ ServerResponse: responseClass(() => false) }, (_request, response) => {
    response.write('\u00e4');
    response.write('ff', 'latin1');
    response.write(Buffer.alloc(100));
    response.write(Buffer.alloc(1000), () => counts.push(response.bodyBytes));
    response.on('finish', () => counts.push(response.bodyBytes));
    const ends = [
      () => response.end(),
      () => response.end('abc'),
      () => response.end(Buffer.alloc(4), () => undefined),
      () => response.end('abcde', 'latin1', () => undefined),
      () => response.end(() => undefined),
    ];
    ends[counts.length / 2]?.();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const more of [0, 3, 4, 5, 0]) {
    const { body } = await ask(url, '/');
    t.equal(body.length, 1104 + more);
    t.equal(counts.at(-1), body.length);
  }
});
