import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { inWords, isAbort, silent, TemporaryFailure } from '../../lib/images/download-failure.js';

t.test('a failed connection is told in words, with the host, and whether it may pass', (t) => {
  const cases: [code: string, mayPass: boolean, words: string][] = [
    ['ECONNREFUSED', true, 'it refuses the connection'],
    ['ECONNRESET', true, 'it closed the connection'],
    ['ETIMEDOUT', true, 'it does not answer'],
    ['EAI_AGAIN', true, 'its name cannot be resolved at the moment'],
    ['ENOTFOUND', false, 'its name is unknown'],
    ['CERT_HAS_EXPIRED', false, 'its certificate has expired'],
    ['HPE_INVALID_CONSTANT', false, 'its answer is not HTTP'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', false, 'TLS cannot be negotiated with it'],
    ['EWHAT', false, 'the connection failed with EWHAT'],
  ];
  for (const [code, mayPass, words] of cases) {
    const cause = Object.assign(new Error('http://user:secret@h/'), { code });
    const error = inWords('h:8080', cause);
    t.match(error, { code: 'BAD_GATEWAY', message: `Cannot download from h:8080: ${words}`, cause });
    t.equal(error instanceof TemporaryFailure, mayPass, code);
  }
  t.match(inWords('h', 'secret'), { code: 'BAD_GATEWAY', message: 'Cannot download from h: the connection failed' });
  t.end();
});

t.test('an abort and an error that says already what it is stay as they are', (t) => {
  const aborted = new DOMException('aborted', 'AbortError');
  const known = new ServiceError('NO_SPACE', 'full');
  t.equal(inWords('h', aborted), aborted);
  t.equal(inWords('h', known), known);
  t.ok(isAbort(aborted));
  t.notOk(isAbort(known));
  t.end();
});

t.test('silence is told in seconds', (t) => {
  t.match(silent('h', 1500), { code: 'GATEWAY_TIMEOUT', message: 'h was silent for 1.5 seconds' });
  t.end();
});
