import t from 'tap';
import { type ErrorCode, ServiceError } from '../../lib/errors.js';
import { withUploadFailures } from '../../lib/observe/upload-failures.js';
import { sendError } from '../../lib/http/reply.js';
import { ask } from '../fixtures/client.js';
import { startHttp } from '../fixtures/http-server.js';

t.test('uploads that fail are counted by their code, and nothing else is', async (t) => {
  const failures: ErrorCode[] = [];
  const { url } = await startHttp(t, () =>
    withUploadFailures(
      () => {
        throw new ServiceError('NO_SPACE', 'full');
      },
      (reason) => failures.push(reason),
    ),
  );
  const form = { 'content-type': 'multipart/form-data; boundary=x' };
  const cases: [counts: boolean, method: string, path: string, headers?: Record<string, string>][] = [
    [true, 'PUT', '/iso?name=a.iso'],
    [true, 'POST', '/iso', form],
    [true, 'PUT', '/microkernel?name=a'],
    [true, 'PUT', '/images?name=a&version=1&isoclient=a.iso'],
    [true, 'POST', '/images', form],
    [false, 'PUT', '/images?name=a&version=1&isostore=a.iso'],
    [false, 'PUT', '/images?name=a&version=1&isostore=a.iso&isoclient=a.iso'],
    [false, 'GET', '/iso?name=a.iso'],
    [false, 'DELETE', '/iso?name=a.iso'],
    [false, 'PUT', '/iso/a'],
    [false, 'PUT', '/elsewhere'],
  ];
  for (const [counts, method, path, headers = {}] of cases) {
    failures.length = 0;
    t.equal((await ask(url, path, { method, headers })).status, 507, path);
    t.same(failures, counts ? ['NO_SPACE'] : [], `${method} ${path}`);
  }
});

t.test(
  'a failure of the machine has a code, too, and so has one that is told behind a status of success',
  async (t) => {
    const failures: ErrorCode[] = [];
    const { url } = await startHttp(t, (log) =>
      withUploadFailures(
        async (exchange) => {
          if (exchange.query.has('full')) throw Object.assign(new Error('disk'), { code: 'ENOSPC' });
          if (exchange.query.has('broken')) throw new Error('what is this');
          if (exchange.query.has('late')) exchange.failure = 'DIGEST_MISMATCH';
          sendError(exchange, new ServiceError('EXISTS', 'x'), log);
          return Promise.resolve(true);
        },
        (reason) => failures.push(reason),
      ),
    );
    for (const query of ['full', 'broken', 'late', 'fine']) await ask(url, `/iso?${query}`, { method: 'PUT' });
    t.same(failures, ['NO_SPACE', 'INTERNAL', 'DIGEST_MISMATCH']);
  },
);
