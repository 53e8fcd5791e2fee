import t from 'tap';
import { checkDownloadUrl, credentialsOf, fileNameOf, withoutCredentials } from '../../lib/images/download-url.js';

t.test('http and https with a host are allowed', (t) => {
  for (const text of [
    'http://h/x.iso',
    'HTTPS://h:8443/a/b?c=d',
    'http://[::1]:80/x',
    'http://u:p%40@h/x',
    'http://h',
  ]) {
    t.equal(checkDownloadUrl(text).href, new URL(text).href);
  }
  t.end();
});

t.test('anything else is refused, and the message says what is allowed, not what was given', (t) => {
  const refused = ['', 'x.iso', 'h/x.iso', '//h/x', 'ftp://u:secret@h/x', 'file:///etc/passwd', 'http:', 'http://'];
  const odd = ['http:///x', 'http:h/x', 'http://u:secret/x@h', 'http://:80/x', 'data:,x', 'javascript:1', ' http://h/'];
  for (const text of [...refused, ...odd]) {
    t.throws(() => checkDownloadUrl(text), {
      code: 'BAD_REQUEST',
      message: /it must be an http:\/\/ or https:\/\/ URL/,
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
