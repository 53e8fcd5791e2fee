import t from 'tap';
import { hasBody, invite } from '../../lib/http/exchange.js';
import { talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { everywhere, readAll, startHttp } from '../fixtures/http-server.js';

t.test('a request has a body when its header says so', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(({ request, response }) => {
      response.end(`body: ${hasBody(request)}`);
      return undefined;
    }),
  );
  const cases: [headers: string, body: string, expected: boolean][] = [
    ['', '', false],
    ['Content-Length: 0\r\n', '', false],
    ['Content-Length: 1\r\n', 'a', true],
    ['Transfer-Encoding: chunked\r\n', '1\r\na\r\n0\r\n\r\n', true],
    ['Transfer-Encoding: chunked\r\n', '0\r\n\r\n', true],
    ['Content-Type: application/json\r\n', '', false],
  ];
  for (const [headers, body, expected] of cases) {
    const received = await talk(url, `PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${headers}\r\n${body}`);
    t.match(received, `body: ${expected}`, headers);
  }
});

/** Asks for the body, and answers with it. */
const inviting = everywhere(async (exchange) => {
  invite(exchange);
  exchange.response.end(`got ${(await readAll(exchange.request)).toString()}`);
});

t.test('a client that waits to be asked for its body is asked', async (t) => {
  const { url } = await startHttp(t, inviting);
  const connection = await Connection.open(url);
  connection.send(
    'PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n',
  );
  t.equal(await connection.until('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n');
  connection.send('body');
  t.match(await connection.closed, /got body/);
});

t.test('a client that does not wait, or is too old to know how, is not', async (t) => {
  const { url } = await startHttp(t, inviting);
  const header = 'Host: a\r\nConnection: close\r\nContent-Length: 4\r\n';
  t.match(await talk(url, `PUT / HTTP/1.1\r\n${header}\r\nbody`), /^HTTP\/1\.1 200 [^]*got body/);
  t.match(
    await talk(url, `PUT / HTTP/1.0\r\n${header}Expect: 100-continue\r\n\r\nbody`),
    /^HTTP\/1\.1 200 [^]*got body/,
  );
});
