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
