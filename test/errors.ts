import t from 'tap';
import { codeOf, ServiceError, ifThere, messageOf, publicError, systemCode, systemFailure } from '../lib/errors.js';

const failing = (code: string) => Object.assign(new Error(`${code}: /srv/secret`), { code });

t.test('what may not be told to a client is reported for the log', (t) => {
  const lines: string[] = [];
  const report = (line: string) => void lines.push(line);
  const known = new ServiceError('EXISTS', 'Image already exists');
  t.equal(publicError(known, report), known);
  t.same(lines, []);
  const ours = new ServiceError('INTERNAL', 'The inventory cannot be written', { cause: new Error('EIO: /secret') });
  t.equal(publicError(ours, report), ours);
  t.equal(lines.pop(), 'The inventory cannot be written: EIO: /secret');
  for (const thrown of [new TypeError('/secret'), '/secret', undefined]) {
    const shown = publicError(thrown, report);
    t.equal(shown.code, 'INTERNAL');
    t.notMatch(shown.message, /secret|undefined/);
    t.match(lines.pop(), thrown === undefined ? /undefined/ : /\/secret/);
  }
  t.end();
});

t.test('what is not there is undefined, and any other failure stays one', async (t) => {
  t.equal(await ifThere(Promise.resolve('there')), 'there');
  for (const code of ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']) {
    t.equal(await ifThere<unknown>(Promise.reject(failing(code))), undefined, code);
  }
  for (const code of ['EACCES', 'EIO', 'EMFILE']) await t.rejects(ifThere(Promise.reject(failing(code))), { code });
  await t.rejects(ifThere(Promise.reject(new Error('no system call'))), { message: 'no system call' });
});

t.test('the codes and messages of whatever was thrown', (t) => {
  t.equal(systemCode(failing('EIO')), 'EIO');
  t.equal(systemCode({ code: 'EIO' }), undefined);
  t.equal(systemCode(Object.assign(new Error('odd'), { code: 5 })), undefined);
  t.equal(messageOf(new Error('words')), 'words');
  t.equal(messageOf('words'), 'words');
  t.end();
});

t.test('a full disk, too many open files and missing permissions are told in words without a path', (t) => {
  const cases: [code: string, shown: string | undefined][] = [
    ['ENOSPC', 'NO_SPACE'],
    ['EDQUOT', 'NO_SPACE'],
    ['EMFILE', 'UNAVAILABLE'],
    ['EROFS', 'INTERNAL'],
    ['EACCES', 'INTERNAL'],
    ['EIO', undefined],
  ];
  for (const [code, shown] of cases) {
    t.equal(systemFailure(failing(code))?.code, shown, code);
    t.notMatch(publicError(failing(code), () => undefined).message, /secret/);
  }
  t.end();
});

t.test('a disk that is read-only, or a lack of descriptors, is told in words and its path only to the log', (t) => {
  const cases: [code: string, words: RegExp, logged: readonly RegExp[]][] = [
    ['EROFS', /^The disk is read-only$/, [/read-only: EROFS: \/srv\/secret/]],
    ['EPERM', /^The service has no permission for its own files$/, [/EPERM: \/srv\/secret/]],
    ['EMFILE', /^Too many files are open$/, []],
    ['ENFILE', /^Too many files are open$/, []],
  ];
  for (const [code, words, logged] of cases) {
    const lines: string[] = [];
    t.match(
      publicError(failing(code), (line) => lines.push(line)),
      { message: words },
      code,
    );
    t.match(lines, logged);
    t.equal(lines.length, logged.length);
  }
  t.end();
});

t.test('everything that is thrown has a code', (t) => {
  t.equal(codeOf(new ServiceError('EXISTS', 'x')), 'EXISTS');
  t.equal(codeOf(Object.assign(new Error('x'), { code: 'ENOSPC' })), 'NO_SPACE');
  for (const other of [new Error('x'), 'x', undefined]) t.equal(codeOf(other), 'INTERNAL');
  t.end();
});
