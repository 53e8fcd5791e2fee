import t from 'tap';
import {
  checkDownloadUrl,
  credentialsOf,
  fileNameOf,
  ftpPathOf,
  withoutCredentials,
} from '../../lib/images/download-url.js';

t.test('http, https and ftp with a host are allowed', (t) => {
  for (const text of [
    'http://h/x.iso',
    'HTTPS://h:8443/a/b?c=d',
    'http://[::1]:80/x',
    'http://u:p%40@h/x',
    'http://h',
    'ftp://h/x.iso',
    'ftp://u:p%40@h:2121/a%20b/%2Fx.iso',
  ]) {
    t.equal(checkDownloadUrl(text).href, new URL(text).href);
  }
  t.end();
});

t.test('anything else is refused, and the message says what is allowed, not what was given', (t) => {
  const refused = [
    '',
    'x.iso',
    'h/x.iso',
    '//h/x',
    'ftps://u:secret@h/x',
    'ftp:h/x',
    'ftp:///x',
    'file:///etc/passwd',
    'http:',
    'http://',
  ];
  const odd = ['http:///x', 'http:h/x', 'http://u:secret/x@h', 'http://:80/x', 'data:,x', 'javascript:1', ' http://h/'];
  for (const text of [...refused, ...odd]) {
    t.throws(() => checkDownloadUrl(text), {
      code: 'BAD_REQUEST',
      message: /it must be an http:\/\/, https:\/\/ or ftp:\/\/ URL/,
    });
    t.throws(() => checkDownloadUrl(text), { message: /^(?!.*secret)/ });
  }
  t.end();
});

t.test('credentials whose % encoding is malformed are refused before the download', (t) => {
  for (const text of ['http://u%zz@h/', 'http://u:%ff@h/', 'http://a%:41@h/']) {
    t.throws(() => checkDownloadUrl(text), { code: 'BAD_REQUEST', message: /malformed % encoding/ });
  }
  t.end();
});

t.test('an ftp URL names one file, and nothing that a server would read as another command', (t) => {
  const cases: [url: string, message: RegExp][] = [
    ['ftp://h', /must name a file, not a folder/],
    ['ftp://h/', /must name a file, not a folder/],
    ['ftp://h/a/', /must name a file, not a folder/],
    ['ftp://h/a%2F', /must name a file, not a folder/],
    ['ftp://h/a%0D%0ADELE%20x', /line ends or NUL/],
    ['ftp://h/a%0Ab', /line ends or NUL/],
    ['ftp://h/a%00', /line ends or NUL/],
    ['ftp://u%0D%0AX:secret@h/a', /line ends or NUL/],
    ['ftp://u:secret%0A@h/a', /line ends or NUL/],
    ['ftp://h/%zz', /path of the download URL has a malformed % encoding/],
    ['ftp://h/%ff', /path of the download URL has a malformed % encoding/],
    ['ftp://h/a?b', /no query/],
  ];
  for (const [url, message] of cases) {
    t.throws(() => checkDownloadUrl(url), { code: 'BAD_REQUEST', message }, url);
    t.throws(() => checkDownloadUrl(url), { message: /^(?!.*secret)/ });
  }
  t.end();
});

t.test('the path of an ftp URL begins where the login leads to', (t) => {
  const cases: [string, string][] = [
    ['ftp://h/a/b%20c.iso', 'a/b c.iso'],
    ['ftp://h/%2Fsrv/x.iso', '/srv/x.iso'],
    ['ftp://h/x%3Fy;type=i', 'x?y;type=i'],
  ];
  for (const [url, path] of cases) t.equal(ftpPathOf(new URL(url)), path);
  t.end();
});

t.test('credentials are decoded', (t) => {
  t.equal(credentialsOf(new URL('http://h/')), undefined);
  t.equal(credentialsOf(new URL('http://us%40er:p%C3%A9@h/')), 'us@er:pé');
  t.equal(credentialsOf(new URL('http://user@h/')), 'user:');
  t.end();
});

t.test('the name in the store is the last segment of the path, decoded', (t) => {
  const cases: [string, string | undefined][] = [
    ['http://h/a/x.iso', 'x.iso'],
    ['http://h/a/x%20y.iso?z=/q#/r', 'x y.iso'],
    ['http://h/a%2Fb', 'a/b'],
    ['http://h/a/', undefined],
    ['http://h', undefined],
    ['http://h/%zz', undefined],
    ['http://h/%ff', undefined],
  ];
  for (const [url, name] of cases) t.equal(fileNameOf(new URL(url)), name, url);
  t.end();
});

t.test('a URL is shown without its credentials, even one that is none', (t) => {
  const cases: [string, string][] = [
    ['http://h/x.iso', 'http://h/x.iso'],
    ['http://user:secret@h/x.iso?a=b@c', 'http://h/x.iso?a=b@c'],
    ['http://user@h/', 'http://h/'],
    ['ftp://user:secret@h/x', 'ftp://h/x'],
    ['http://user:se@cret@h/', 'http://h/'],
    ['http://user:sec/ret@h/', 'http://h/'],
    ['user:secret@h/x', 'h/x'],
    ['http://user:sec ret/@', 'http://'],
    ['secret:x@', ''],
    ['x.iso', 'x.iso'],
  ];
  for (const [text, shown] of cases) t.equal(withoutCredentials(text), shown, text);
  t.end();
});
