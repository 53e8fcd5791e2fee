import t from 'tap';
import { type Arrived, askedHost, hostOf, ownUrl } from '../../lib/http/own-url.js';

function request(host: string | undefined, socket: object = {}): Arrived {
  const known = { localAddress: '10.0.0.1', localPort: 9090, ...socket };
  return { headers: host === undefined ? {} : { host }, socket: known };
}

t.test('the URL is the one that the client asked for', (t) => {
  for (const host of ['a', 'images.example.com:8080', '10.1.1.1', '[fd00::1]:9090', 'a_b', 'h.']) {
    t.equal(ownUrl(request(host)), `http://${host}`);
    t.equal(ownUrl(request(host, { encrypted: true })), `https://${host}`);
  }
  t.end();
});

t.test('what is no host is not believed: the socket says then where it is', (t) => {
  for (const host of [
    undefined,
    '',
    'a b',
    'a\nb',
    'a/b',
    '${x}',
    'a:b',
    'a:123456',
    '[x]',
    'user@h',
    '-a',
    '<h>',
    "h'",
  ]) {
    t.equal(askedHost(request(host)), '10.0.0.1:9090', String(host));
  }
  t.equal(ownUrl(request('?', { localAddress: '::ffff:10.0.0.2' })), 'http://10.0.0.2:9090');
  t.equal(ownUrl(request('?', { localAddress: 'fd00::1' })), 'http://[fd00::1]:9090');
  t.equal(ownUrl(request('?', { localAddress: undefined, localPort: undefined })), 'http://localhost:0');
  t.end();
});

t.test('GRUB names no port, and is answered with the one at which it asks', (t) => {
  const asked = (host: string, localPort = 9090, agent = 'GRUB 2.06-13') => {
    return askedHost({ headers: { host, 'user-agent': agent }, socket: { localAddress: '10.0.0.1', localPort } });
  };
  t.equal(asked('10.0.0.1'), '10.0.0.1:9090');
  t.equal(asked('10.0.0.1', 80), '10.0.0.1');
  t.equal(asked('10.0.0.1:8080'), '10.0.0.1:8080');
  t.equal(asked('10.0.0.1', 9090, 'curl/8'), '10.0.0.1', 'others say what they mean');
  t.end();
});

t.test('an address of IPv6 has brackets in a URL', (t) => {
  t.same(['10.0.0.1', 'fd00::1', 'host.example'].map(hostOf), ['10.0.0.1', '[fd00::1]', 'host.example']);
  t.end();
});
