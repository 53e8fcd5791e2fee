import t from 'tap';
import { AddressFilter, onlyFor } from '../../lib/http/address-filter.js';
import { send } from '../../lib/http/reply.js';
import { ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { everywhere, startHttp } from '../fixtures/http-server.js';

t.test('an address belongs to the networks that hold it, however it is written', (t) => {
  const cases: [networks: string[], allowed: string[], refused: string[]][] = [
    [['10.1.0.0/16'], ['10.1.0.0', '10.1.255.255', '::ffff:10.1.2.3'], ['10.2.0.0', '10.0.255.255', '::1']],
    [['10.1.2.3'], ['10.1.2.3', '::FFFF:10.1.2.3', '0:0:0:0:0:ffff:10.1.2.3'], ['10.1.2.4', '10.1.2.2']],
    [['10.1.2.3/24'], ['10.1.2.0', '10.1.2.255'], ['10.1.3.0']],
    [['0.0.0.0/0'], ['1.2.3.4', '::ffff:255.255.255.255'], ['::1', 'fd00::1']],
    [['::/0'], ['::1', 'fd00::1'], ['10.0.0.1', '::ffff:10.0.0.1']],
    [['fd00::/8'], ['fd00::1', 'fdff:ffff::'], ['fe80::1', '10.0.0.1', '::ffff:10.0.0.1']],
    [['fe80::/10'], ['fe80::1%eth0', 'fe80::1'], ['fec0::1%eth0']],
    [['::1'], ['::1', '0:0:0:0:0:0:0:1'], ['::2', '127.0.0.1']],
    [['::ffff:10.1.0.0/112'], ['10.1.2.3', '::ffff:10.1.2.3'], ['10.2.0.1']],
    [['::ffff:a00:0/104'], ['10.0.0.5', '::ffff:10.0.0.5'], ['11.0.0.1']],
    [
      ['10.0.0.0/8', 'fd00::/8'],
      ['10.9.9.9', 'fd01::1'],
      ['11.0.0.1', 'fe80::1'],
    ],
    [[], [], ['127.0.0.1', '::1']],
  ];
  for (const [networks, allowed, refused] of cases) {
    const filter = new AddressFilter(networks);
    for (const address of allowed) t.ok(filter.allows(address), `${address} in ${networks.join()}`);
    for (const address of refused) t.notOk(filter.allows(address), `${address} not in ${networks.join()}`);
  }
  t.end();
});

t.test('who is not of the networks gets 403, and the connection is closed', async (t) => {
  const hello = everywhere((exchange) => send(exchange, 200, 'text/plain', 'hello'));
  const { url } = await startHttp(t, (log) => onlyFor(() => ['127.0.0.1', '10.0.0.0/8'], hello(log)));
  t.equal((await ask(url, '/')).text, 'hello');
  const other = await startHttp(t, (log) => onlyFor(() => ['10.0.0.0/8'], hello(log)));
  const answer = await ask(other.url, '/');
  t.match(answer, { status: 403, headers: { connection: 'close' } });
  t.match(json(answer), { code: 'FORBIDDEN', message: /^Files are not served to 127\.0\.0\.1: southboundAllow/ });
  const connection = await Connection.open(other.url);
  connection.send('PUT / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n');
  t.equal((await connection.closed).match(/HTTP\/1\.1/g)?.length, 1, 'nothing behind it is answered');
});
