import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import t from 'tap';
import { type ErrorCode, ServiceError } from '../../lib/errors.js';
import { checkFraming } from '../../lib/http/framing.js';

function request(version: string, rawHeaders: readonly string[]): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  message.httpVersion = version;
  message.rawHeaders = [...rawHeaders];
  message.headers = Object.fromEntries(
    rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1]]] : [])),
  );
  return message;
}

t.test('what a proxy may read otherwise than we do is refused, and so is what we cannot do', (t) => {
  const host = ['Host', 'a'];
  const cases: [version: string, headers: string[], code: ErrorCode | undefined, closes?: boolean][] = [
    ['1.1', host, undefined],
    ['1.1', ['hOST', ''], undefined],
    ['1.1', ['X-Host', 'b', ...host, 'Accept', 'host'], undefined],
    ['1.1', [], 'BAD_REQUEST', true],
    ['1.0', [], undefined],
    ['1.1', [...host, ...host], 'BAD_REQUEST', true],
    ['1.0', [...host, 'hosT', 'b'], 'BAD_REQUEST', true],
    ['1.1', [...host, 'Transfer-Encoding', ' Chunked'], undefined],
    ['1.1', [...host, 'Transfer-Encoding', 'gzip, chunked'], 'NOT_IMPLEMENTED', true],
    ['1.0', [...host, 'Transfer-Encoding', 'chunked'], 'BAD_REQUEST', true],
    ['1.1', [...host, 'Expect', '100-Continue'], undefined],
    ['1.1', [...host, 'Expect', 'miracles'], 'EXPECTATION_FAILED', false],
    ['1.0', [...host, 'Expect', 'miracles'], undefined],
    ['1.1', [...host, ...Array.from({ length: 199 }, () => ['a', '']).flat()], undefined],
    ['1.1', [...host, ...Array.from({ length: 200 }, () => ['a', '']).flat()], 'HEADER_TOO_LARGE', true],
  ];
  for (const [version, headers, code, closes = false] of cases) {
    let closed = false;
    let thrown: unknown;
    try {
      checkFraming(request(version, headers), () => (closed = true));
    } catch (error) {
      thrown = error;
    }
    t.equal(thrown instanceof ServiceError ? thrown.code : thrown, code, `${version} ${headers.join()}`);
    t.equal(closed, closes);
  }
  t.end();
});
