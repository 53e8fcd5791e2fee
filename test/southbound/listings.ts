import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json, talk } from '../fixtures/client.js';
import { eventually } from '../fixtures/http-server.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { begin } from '../fixtures/slow-download.js';
import { startSouthbound } from '../fixtures/southbound.js';
import { countTurns } from '../fixtures/turns.js';

function nameOf(index: number): string {
  return `package-${String(index).padStart(5, '0')}.x86_64.rpm`;
}

/** A service with a folder of so many entries; their names, in order. */
async function startLarge(t: Test, count: number) {
  const service = await startSouthbound(t);
  const large = join(service.root, 'large');
  await mkdir(large);
  const names = Array.from({ length: count }, (_, index) => nameOf(index));
  const waiting = names.values();
  const work = async () => {
    for (const name of waiting) await writeFile(join(large, name), '');
  };
  await Promise.all(Array.from({ length: 16 }, work));
  return { ...service, large, names };
}

t.test(
  'a folder of 50,000 entries is listed whole, and others have their turns meanwhile',
  { timeout: 300_000 },
  async (t) => {
    const { south, names } = await startLarge(t, 50_000);
    const listing = ask(south, '/large/?format=text');
    const turns = await countTurns(listing);
    const { text, complete } = await listing;
    t.ok(complete);
    t.ok(text === names.map((name) => `${name}\n`).join(''));
    t.ok(turns > 1000, `${turns} turns`);
  },
);

t.test('a large folder comes chunked in every format, and HEAD tells the same of it', async (t) => {
  const { south, large, names } = await startLarge(t, 3000);
  const asJson = await ask(south, '/large/', { headers: { accept: 'application/json' } });
  const expected = names.map((name) => ({ name, type: 'file', size: 0 }));
  t.match(json(asJson), expected);
  const asHtml = await ask(south, '/large/');
  t.ok(asHtml.complete);
  t.equal(asHtml.text.match(/<tr>/g)?.length, names.length + 2, 'with the head of the table, and the folder above');
  t.match(asHtml.text.slice(-100), '</html>\n');
  for (const [{ headers }, accept] of [
    [asJson, 'application/json'],
    [asHtml, 'text/html'],
  ] as const) {
    t.equal(headers['transfer-encoding'], 'chunked');
    t.notHas(headers, 'content-length');
    const head = await ask(south, '/large/', { method: 'HEAD', headers: { accept } });
    t.same({ ...head.headers, date: '' }, { ...headers, date: '' });
    t.equal(head.body.length, 0);
  }
  const old = await talk(south, 'GET /large/ HTTP/1.0\r\n\r\n');
  t.ok(old.endsWith(`\r\n\r\n${asHtml.text}`), 'HTTP/1.0 has it without chunks');
  (await begin(`${south}/large/`)).destroy();
  t.ok(await eventually(async () => (await descriptorsBelow(large)) === 0), 'who leaves keeps nothing open');
});

t.test('a listing says how each format differs, and is asked for anew', async (t) => {
  const { south } = await startSouthbound(t);
  const cases: [accept: string, query: string, type: string][] = [
    ['', '', 'text/html; charset=utf-8'],
    ['*/*', '', 'text/html; charset=utf-8'],
    ['text/html,application/xhtml+xml,*/*;q=0.8', '', 'text/html; charset=utf-8'],
    ['application/json', '', 'application/json'],
    ['text/plain', '', 'text/plain; charset=utf-8'],
    ['text/html;q=0.1, application/json', '', 'application/json'],
    ['application/json', '?format=text', 'text/plain; charset=utf-8'],
    ['text/plain', '?format=html', 'text/html; charset=utf-8'],
    ['image/png', '', 'text/html; charset=utf-8'],
  ];
  for (const path of ['/', '/plain/', '/ubuntu/', '/ubuntu/14.04/', '/iso/']) {
    for (const [accept, query, type] of cases) {
      const { status, headers, body } = await ask(
        south,
        `${path}${query}`,
        accept === '' ? {} : { headers: { accept } },
      );
      t.match(
        { status, ...headers },
        {
          status: 200,
          'content-type': type,
          'content-length': String(body.length),
          'cache-control': 'no-cache',
          vary: 'Accept',
          'x-content-type-options': 'nosniff',
        },
        `${path}${query} for ${accept}`,
      );
      t.equal(headers['x-frame-options'], type.startsWith('text/html') ? 'DENY' : undefined);
      t.equal(
        headers['content-security-policy']?.includes("default-src 'none'") ?? false,
        type.startsWith('text/html'),
      );
    }
  }
});

t.test('a listing has no parts, and conditions say nothing about it', async (t) => {
  const { south } = await startSouthbound(t);
  for (const headers of [
    { range: 'bytes=0-1' },
    { 'if-none-match': '*' },
    { 'if-modified-since': new Date().toUTCString() },
  ]) {
    const { status, headers: answered } = await ask(south, '/plain/', { headers });
    t.equal(status, 200, JSON.stringify(headers));
    for (const name of ['accept-ranges', 'etag', 'last-modified']) t.notHas(answered, name);
  }
});
