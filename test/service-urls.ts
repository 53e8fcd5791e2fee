import t from 'tap';
import { readConfig } from '../lib/config.js';
import { fileServerUrl } from '../lib/service-urls.js';

/** What a client that asks by this Host is told. */
function told(settings: Readonly<Record<string, unknown>>, host = 'lab.example.com:7070'): string {
  const config = readConfig(JSON.stringify(settings), '/', {}, 'test');
  const request = { headers: { host }, socket: { localAddress: '10.0.0.1', localPort: 7070 } };
  return fileServerUrl(config, () => config.httpEndpoints)({ request });
}

const north = { address: '10.0.0.1', port: 7070, routers: 'northbound' };
const at = (address: string, port: number, more = {}) => ({
  httpEndpoints: [north, { address, port, routers: 'southbound', ...more }],
});
const tls = { cert: '/c', key: '/k' };

t.test('the file server is where publicUrl says, or where it listens, or at the host that was asked', (t) => {
  t.equal(told({ publicUrl: 'http://10.2.2.2/files/' }), 'http://10.2.2.2/files');
  t.equal(told(at('172.31.128.4', 9090)), 'http://172.31.128.4:9090');
  t.equal(told(at('fd00::1', 9090)), 'http://[fd00::1]:9090');
  t.equal(told({}), 'http://lab.example.com:9090');
  t.equal(told(at('::', 80)), 'http://lab.example.com');
  t.equal(told({}, '[fd00::2]:7070'), 'http://[fd00::2]:9090');
  t.equal(told({}, 'no host'), 'http://10.0.0.1:9090');
  t.end();
});

t.test('plain http goes before https, which firmware does not speak; the root of the API comes behind', (t) => {
  t.equal(told(at('0.0.0.0', 443, { tls })), 'https://lab.example.com');
  const { httpEndpoints } = at('0.0.0.0', 443, { tls });
  const plain = { address: '0.0.0.0', port: 9090, routers: ['northbound', 'southbound'] };
  t.equal(told({ httpEndpoints: [...httpEndpoints, plain] }), 'http://lab.example.com:9090');
  t.equal(told({ httpFileServiceApiRoot: '/files/v1/' }), 'http://lab.example.com:9090/files/v1');
  t.end();
});
