import t from 'tap';
import { ServiceError } from '../lib/errors.js';
import { checkFileName, checkName, encodePath, encodeSegment, parsePath } from '../lib/path.js';
import { Random } from './fixtures/random.js';

const badRequest = { code: 'BAD_REQUEST' };

t.test('a path is its decoded segments, and whether it ends with a slash', (t) => {
  const cases: [target: string, path: string[], endsWithSlash: boolean][] = [
    ['/', [], true],
    ['/a', ['a'], false],
    ['/a/', ['a'], true],
    ['/ubuntu/14.04/casper/vmlinuz', ['ubuntu', '14.04', 'casper', 'vmlinuz'], false],
    ['//a///b', ['a', 'b'], false],
    ['/./a/./b', ['a', 'b'], false],
    ['/a/.', ['a'], true],
    ['/a/./', ['a'], true],
    ['//', [], true],
    ['/a%20b%3Fc%23d%25', ['a b?c#d%'], false],
    ['/%C3%BC/%e2%82%ac/%F0%9F%92%BF', ['ü', '€', '💿'], false],
    ['/%EF%BB%BFa', ['\ufeffa'], false],
    ['/a+b', ['a+b'], false],
    ['/%2541', ['%41'], false],
    ['/a%0Ab', ['a\nb'], false],
    ['/.treeinfo', ['.treeinfo'], false],
    ['/...', ['...'], false],
    ['/a..b/..c/d..', ['a..b', '..c', 'd..'], false],
  ];
  for (const [target, path, endsWithSlash] of cases) t.same(parsePath(target), { path, endsWithSlash }, target);
  t.end();
});

t.test('query, fragment and the host of an absolute-form target are no part of the path', (t) => {
  const cases: [target: string, segments: string[]][] = [
    ['/a?x=/../b', ['a']],
    ['/a?b?c', ['a']],
    ['/a#b?c', ['a']],
    ['/?', []],
    ['http://host:9090/a/b?c', ['a', 'b']],
    ['HTTPS://host/a', ['a']],
    ['http://host', []],
    ['http://host?a=/b', []],
    ['//host/a', ['host', 'a']],
    ['/http://host/a', ['http:', 'host', 'a']],
  ];
  for (const [target, segments] of cases) t.same(parsePath(target).path, segments, target);
  t.end();
});

t.test('a path that could lead out of the tree, or that means two things, is a bad request', (t) => {
  const targets = [
    '/..',
    '/a/../b',
    '/a/..',
    '/%2e%2e/a',
    '/%2E%2E',
    '/.%2e',
    '/a/%2e/b',
    '/%2e',
    '/a%2fb',
    '/a%2Fb',
    '/..%2f..%2fetc/passwd',
    '/a%00',
    '/%00',
    '/%',
    '/%2',
    '/%zz',
    '/%ff',
    '/%c0%ae%c0%ae',
    '/%ed%a0%80',
    '/\u00fc',
    '/a b',
    '/a\r\nb',
    '',
    '*',
    'a/b',
    'host:443',
    'ftp://host/a',
    '?a',
    'http://host/../a',
  ];
  for (const target of targets) t.throws(() => parsePath(target), badRequest, target.slice(0, 40));
  t.end();
});

t.test('a URL that is too long is told so', (t) => {
  for (const target of [`/${'a/'.repeat(4096)}`, `/?${'a'.repeat(8191)}`]) {
    t.throws(() => parsePath(target), { code: 'URL_TOO_LONG', message: /8192/ });
  }
  t.end();
});

t.test('the longest path and the longest name are served', (t) => {
  t.equal(parsePath(`/${'a/'.repeat(4095)}a`).path.length, 4096);
  t.same(parsePath(`/${'a'.repeat(1000)}`).path, ['a'.repeat(1000)]);
  t.same(parsePath('/dev-a%5Cx2db.device').path, ['dev-a\\x2db.device'], 'as systemd names its units');
  t.end();
});

t.test('a refusal quotes the segment, shortened, and says what is allowed', (t) => {
  t.throws(() => parsePath('/a/b%2fc'), {
    message: 'The path segment "b%2fc" is not allowed: no slash or NUL inside, encoded or not',
  });
  t.throws(() => parsePath(`/${'x'.repeat(300)}%2f`), {
    message: new RegExp(`"${'x'.repeat(60)}"… is not allowed: no slash`),
  });
  t.end();
});

t.test('every path that we encode decodes to the same segments', (t) => {
  const random = new Random(1);
  let longest = 0;
  for (let run = 0; run < 2000; run++) {
    const segments = Array.from({ length: random.below(5) }, () =>
      random.text('aB.~%?#&+;:@= \'<"\n\u007füß€💿\ufeff', 12),
    );
    const valid = segments.filter((segment) => !['', '.', '..'].includes(segment));
    const path = encodePath(valid);
    longest = Math.max(longest, valid.length);
    if (JSON.stringify(parsePath(path).path) !== JSON.stringify(valid)) t.fail(path);
  }
  t.equal(longest, 4);
  t.end();
});

t.test('whatever comes in, a path has only safe segments or is a bad request', (t) => {
  const random = new Random(2);
  const isSafe = (segment: string) => !['', '.', '..'].includes(segment) && !/[/\0]/.test(segment);
  let accepted = 0;
  for (let run = 0; run < 5000; run++) {
    const target = `/${random.text('../%%2225eEfFcC0a\\?#', 14)}`;
    try {
      const { path } = parsePath(target);
      accepted++;
      if (!path.every(isSafe)) t.fail(target);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== 'BAD_REQUEST') throw error;
    }
  }
  t.ok(accepted > 500 && accepted < 4500, `${accepted} of 5000 accepted`);
  t.end();
});

const badNames: [name: string, allowed: string][] = [
  ['', 'it must not be empty'],
  ['.', 'it must not be . or ..'],
  ['..', 'it must not be . or ..'],
  ['a/b', 'no slash and no backslash'],
  ['/etc/passwd', 'no slash and no backslash'],
  ['a\\b', 'no slash and no backslash'],
  ['a\nb', 'no control characters'],
  ['a\0', 'no control characters'],
  ['\u007f', 'no control characters'],
  ['a\u0085b', 'no control characters'],
  ['\ud83d', 'it must be well-formed Unicode'],
  ['a\udcffb', 'it must be well-formed Unicode'],
  [' a', 'no space at its beginning or end'],
  ['a ', 'no space at its beginning or end'],
  ['\u00a0a', 'no space at its beginning or end'],
  ['a'.repeat(256), 'at most 255 bytes of UTF-8'],
  ['ü'.repeat(128), 'at most 255 bytes of UTF-8'],
];

t.test('a name is one segment of a path', (t) => {
  for (const name of ['ESXi', 'CentOS', '14.04-EMC-Ted-test', 'a b', 'ü', '💿', '.hidden', '...', 'a'.repeat(255)]) {
    t.equal(checkName(name, 'name'), name, name);
  }
  for (const [name, allowed] of badNames) {
    const message =
      name.length > 60 ? / is not allowed: / : `version ${JSON.stringify(name)} is not allowed: ${allowed}`;
    t.throws(() => checkName(name, 'version'), { ...badRequest, message }, JSON.stringify(name));
    t.throws(() => checkName(name, 'version'), { message: new RegExp(`: ${allowed}$`) });
  }
  t.end();
});

t.test('the name of a stored file has no dot at its beginning besides', (t) => {
  t.equal(checkFileName('ubuntu-14.04.iso', 'name'), 'ubuntu-14.04.iso');
  t.throws(() => checkFileName('.upload', 'name'), {
    ...badRequest,
    message: 'name ".upload" is not allowed: no dot at its beginning',
  });
  for (const [name] of badNames) t.throws(() => checkFileName(name, 'name'), badRequest, JSON.stringify(name));
  t.end();
});

t.test('an encoded path has no host in it, and names that are no Unicode do not break it', (t) => {
  t.equal(encodePath([]), '/');
  t.equal(encodePath(['a b', 'c?d', 'ü']), '/a%20b/c%3Fd/%C3%BC');
  t.equal(encodePath(['evil.com']), '/evil.com');
  t.equal(encodeSegment('a/b\r\n'), 'a%2Fb%0D%0A');
  t.equal(encodeSegment('a\ud83d'), 'a%EF%BF%BD');
  t.end();
});
