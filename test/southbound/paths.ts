import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ask, json, talk } from '../fixtures/client.js';
import { startSouthbound } from '../fixtures/southbound.js';

interface Raw {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Sends a request line as it is written, and gives what came back. */
async function raw(base: string, line: string): Promise<Raw> {
  const answer = await talk(base, `${line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const [head = '', body = ''] = answer.split('\r\n\r\n', 2);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), head, body };
}

t.test('no spelling of a path leads out of the tree, or tells anything of the host', async (t) => {
  const { south, root, folder } = await startSouthbound(t);
  await writeFile(join(folder, 'secret'), 'the secret');
  await mkdir(join(folder, 'static-secret'));
  await writeFile(join(folder, 'static-secret/x'), 'the secret');
  await symlink('/etc', join(root, 'etc-link'));
  await symlink('../secret', join(root, 'link'));
  await symlink('..', join(root, 'plain/up'));
  const up = ['..', '%2e%2e', '.%2e', '%2E.', '%2e%2E'].flatMap((dots) => [
    ...[`/${dots}/secret`, `//${dots}/secret`, `/plain/${dots}/${dots}/secret`, `/./${dots}/secret`, `/${dots}`],
    ...[`/${dots}/static-secret/x`, `/ubuntu/14.04/${dots}/${dots}/${dots}/secret`, `/plain/${dots}/`],
  ]);
  const refused = [
    ...up,
    ...['/..%2fsecret', '/..%2Fsecret', '/plain%2ffile', '/plain/%2e%2e%2f%2e%2e%2fsecret', '/%2fetc%2fpasswd'],
    ...[
      '/%00',
      '/plain/file%00',
      '/plain/file%00.html',
      '/%',
      '/%2',
      '/%zz',
      '/%c0%ae%c0%ae/secret',
      '/%ff',
      '/%ed%a0%80',
    ],
    ...['/%u002e%u002e/secret', 'plain/file', '*', 'ftp://a/plain/file'],
  ];
  for (const target of refused) {
    const { status, body } = await raw(south, `GET ${target}`);
    t.equal(status, 400, target.slice(0, 60));
    t.notMatch(body, /the secret|root:/);
    t.notMatch(body, folder);
  }
  const nothing = [
    ...[
      '/%252e%252e/secret',
      '/%252e%252e%252fsecret',
      '/..%252fsecret',
      '/..%5csecret',
      '/..%5C..%5Csecret',
      '/..\\secret',
    ],
    ...[
      '/plain/..\\..\\secret',
      '/%5c..%5csecret',
      '/...',
      '/.../secret',
      '/..;/secret',
      '/static-secret/x',
      '/+../secret',
    ],
    ...['/link', '/etc-link', '/etc-link/passwd', '/plain/up/secret', '/plain/up/static-secret/x'],
    ...[
      '/etc/passwd',
      '//etc/passwd',
      '///etc/passwd',
      '/proc/self/environ',
      '/plain/file/',
      '/plain/file/.',
      '/secret',
    ],
    ...['/inventory.json', '/iso/.image-service/', '/iso/.image-service/store.json', '/ubuntu/14.04/.image-service'],
  ];
  for (const target of nothing) {
    const { status, head, body } = await raw(south, `GET ${target}`);
    t.equal(status, 404, target);
    t.match(JSON.parse(body), { code: 'NOT_FOUND' });
    t.notMatch(`${head}${body}`, folder);
    t.notMatch(body, /static|passwd|secret/, 'it does not even say what was asked for');
  }
});

t.test('every spelling of the path of a file is that file, without a redirect', async (t) => {
  const { south, root } = await startSouthbound(t);
  await writeFile(join(root, 'plain/a+b c%41'), 'odd');
  const host = south.slice('http://'.length);
  const cases: [target: string, text: string][] = [
    ['/plain/a+b%20c%2541', 'odd'],
    ['/%70lain/a%2Bb%20c%2541', 'odd'],
    ['//plain//a+b%20c%2541', 'odd'],
    ['/./plain/./a+b%20c%2541', 'odd'],
    ['/plain/a+b%20c%2541?x=/../y', 'odd'],
    ['/plain/a+b%20c%2541#x', 'odd'],
    [`http://${host}/plain/a+b%20c%2541`, 'odd'],
    ['http://any.other.host:1/plain/a+b%20c%2541', 'odd'],
    ['HTTPS://user@[::1]//plain/a+b%20c%2541', 'odd'],
  ];
  for (const [target, text] of cases) {
    const { status, body } = await raw(south, `GET ${target}`);
    t.same([status, body], [200, text], target);
  }
});

t.test('a redirect leads to the same place with a slash, on no other host and in no other header', async (t) => {
  const { south, root } = await startSouthbound(t);
  const names = ['evil.com', 'a b', 'x\r\nSet-Cookie: a=b', 'http:', 'a?b#c', '\\evil.com', 'é', '<script>', "'"];
  for (const name of names) await mkdir(join(root, name));
  for (const name of names) {
    const encoded = encodeURIComponent(name);
    for (const before of ['/', '//', '///', '/./', '/.//']) {
      const { status, head, body } = await raw(south, `GET ${before}${encoded}`);
      t.equal(status, 301, `${before}${encoded}`);
      t.same(head.match(/^location:.*$/gim), [`Location: ./${encoded}/`]);
      t.notMatch(head, /^set-cookie/im);
      t.notMatch(body, /script|evil/);
    }
  }
  const query = await raw(south, 'GET //evil.com?format=json&x=%0d%0aX:y');
  t.match(query.head, /^Location: \.\/evil\.com\/\?format=json&x=%0d%0aX:y$/m);
  for (const target of ['//evil.com/%2f..', '//evil.com/%2e%2e', '/%2f/evil.com', '/%5cevil.com/%2e%2e']) {
    const { status, head } = await raw(south, `GET ${target}`);
    t.equal(status, 400, target);
    t.notMatch(head, /^location/im);
  }
  t.equal((await raw(south, 'GET //')).status, 200, 'the root needs none');
  t.equal((await raw(south, 'GET http://evil.com')).status, 200);
});

t.test('a name can put nothing into the headers of its file', async (t) => {
  const { south, root } = await startSouthbound(t);
  for (const name of ['x\r\nSet-Cookie: a=b', 'x.html\r\n\r\n<b>', 'x.cfg\nA: b', '"; filename="y', 'é.iso']) {
    await writeFile(join(root, 'plain', name), 'bytes');
    const { status, head, body } = await raw(south, `GET /plain/${encodeURIComponent(name)}`);
    t.same([status, body], [200, 'bytes'], JSON.stringify(name));
    t.equal(head.split('\r\n').length, 12, head);
    t.notMatch(head, /^(set-cookie|a|content-disposition):/im);
  }
});

t.test('other methods are refused with those that there are, on files, folders and what is not there', async (t) => {
  const { south } = await startSouthbound(t);
  for (const path of ['/', '/plain/', '/plain/file', '/ubuntu/14.04/file', '/none']) {
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'MKCOL', 'PURGE']) {
      const answer = await ask(south, path, { method });
      t.same([answer.status, answer.headers.allow], [405, 'GET, HEAD, OPTIONS'], `${method} ${path}`);
      t.match(json(answer), { code: 'METHOD_NOT_ALLOWED' });
    }
    const options = await ask(south, path, { method: 'OPTIONS' });
    t.same([options.status, options.headers.allow, options.text], [204, 'GET, HEAD, OPTIONS', '']);
  }
  for (const method of ['FOO', 'get', 'CONNECT']) {
    const { status } = await raw(south, `${method} /plain/file`);
    t.notOk(status >= 200 && status < 300, `${method}: ${status}`);
  }
});
