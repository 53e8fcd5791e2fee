import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';
import type { Exchange } from '../../lib/http/exchange.js';
import { wantsJson } from '../../lib/northbound/upload.js';
import { ask, json, talk } from '../fixtures/client.js';
import { startTestService } from '../fixtures/service.js';

t.test('progress in words is for everybody who does not prefer JSON', (t) => {
  const cases: [accept: string | undefined, isJson: boolean][] = [
    [undefined, false],
    ['*/*', false],
    ['text/html,application/xhtml+xml,*/*;q=0.8', false],
    ['application/json', true],
    ['application/json, text/plain, */*', false],
    ['application/json, */*;q=0.5', true],
    ['image/png', false],
  ];
  for (const [accept, isJson] of cases) {
    const request = { headers: { accept } } as unknown as IncomingMessage;
    t.equal(wantsJson({ request } as Exchange), isJson, String(accept));
  }
  t.end();
});

t.test('of two uploads of one name at once the second is told 409 at once, and the first goes on', async (t) => {
  const { north, south } = await startTestService(t);
  const head = 'PUT /iso?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nConnection: close\r\n\r\n';
  const first = connect(Number(new URL(north).port), '127.0.0.1');
  let answer = '';
  first.on('data', (chunk) => (answer += chunk.toString()));
  first.write(`${head}0123456789`);
  while (!answer.includes('50 %')) await new Promise((resolve) => setTimeout(resolve, 5));
  const second = await ask(north, '/iso?name=a', { method: 'PUT', body: 'second' });
  t.match({ status: second.status, ...(json(second) as object) }, { status: 409, code: 'BUSY' });
  t.equal((await ask(north, '/iso?name=a', { method: 'DELETE' })).status, 409, 'nothing to delete yet');
  t.equal((await ask(south, '/iso/a')).status, 404);
  first.write('0123456789');
  await new Promise((resolve) => first.once('close', resolve));
  t.match(answer, /Upload finished!/);
  t.equal((await ask(south, '/iso/a')).text, '01234567890123456789');
});

t.test('an upload that ends early leaves nothing, and its name is free at once', async (t) => {
  const { north, south } = await startTestService(t);
  await ask(north, '/iso?name=a', { method: 'PUT', body: 'good' });
  const head = 'PUT /iso?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n';
  for (const bytes of ['', '0', '0123456789012345678']) {
    await talk(north, head + bytes, 50);
    t.equal((await ask(south, '/iso/a')).text, 'good', `${bytes.length} of 20 bytes`);
  }
  t.equal((await ask(north, '/iso?name=a', { method: 'PUT', body: 'new' })).status, 200);
});
