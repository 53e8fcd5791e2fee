import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { bindPort } from '../../lib/workers/port.js';

t.test('nobody can connect to a port that is bound before somebody listens on it', async (t) => {
  const bound = await bindPort('127.0.0.1', 0);
  await t.rejects(once(connect(bound.port, bound.address), 'connect'), { code: 'ECONNREFUSED' });
  const server = createServer().listen(bound.socket);
  await once(server, 'listening');
  const client = connect(bound.port, bound.address);
  await once(client, 'connect');
  client.destroy();
  server.close();
  bound.close();
});

t.test('a host name is looked up', async (t) => {
  const bound = await bindPort('localhost', 0);
  t.match(bound.address, /^(127\.0\.0\.1|::1)$/);
  t.ok(bound.port > 0);
  bound.close();
});

t.test('a port or an address that cannot be had is told', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  await t.rejects(bindPort('127.0.0.1', port), {
    code: 'BAD_REQUEST',
    message: `Cannot listen on 127.0.0.1 port ${port}: EADDRINUSE`,
  });
  server.close();
  await t.rejects(bindPort('192.0.2.1', 0), { message: 'Cannot listen on 192.0.2.1 port 0: EADDRNOTAVAIL' });
  await t.rejects(bindPort('no.such.host.invalid', 80), {
    message: /^Cannot listen on no\.such\.host\.invalid port 80: /,
  });
});
