import t from 'tap';
import {
  formatSize,
  type ListingFormat,
  listingFormat,
  listingHeaders,
  renderListing,
} from '../../lib/http/listing.js';
import { parsePath } from '../../lib/path.js';
import type { Entry } from '../../lib/tree.js';
import { countTurns } from '../fixtures/turns.js';

const modified = new Date('2014-04-17T09:10:11.123Z');

function file(name: string, size = 1, more: Partial<Entry> = {}): Entry {
  return { name, type: 'file', size, modified, ...more };
}

function folder(name: string): Entry {
  return { name, type: 'folder', size: 0, modified: undefined };
}

async function rendered(format: ListingFormat, path: readonly string[], entries: readonly Entry[]) {
  const { type, pieces } = renderListing(format, path, entries);
  let body = '';
  for await (const piece of pieces) body += piece;
  return { type, body };
}

function hrefs(body: string): string[] {
  return [...body.matchAll(/href="([^"]*)"/g)].map(([, href]) => (href ?? '').replaceAll('&#39;', "'"));
}

t.test('a listing is HTML for people, JSON or text for those who ask', (t) => {
  t.equal(listingFormat(undefined, undefined), 'html');
  t.equal(listingFormat('*/*', undefined), 'html');
  t.equal(listingFormat('text/html,application/xhtml+xml,*/*;q=0.8', undefined), 'html');
  t.equal(listingFormat('application/json', undefined), 'json');
  t.equal(listingFormat('text/plain', undefined), 'text');
  t.equal(listingFormat('image/png', undefined), 'html', 'nothing that we have: better than a 406');
  t.end();
});

t.test('the format in the query wins over Accept, and an unknown one is refused', (t) => {
  t.equal(listingFormat('text/html', 'json'), 'json');
  t.equal(listingFormat('application/json', 'html'), 'html');
  t.equal(listingFormat('application/json', 'text'), 'text');
  for (const format of ['', 'xml', 'JSON', 'constructor']) {
    const message = `format ${JSON.stringify(format)} is not allowed: html, json or text`;
    t.throws(() => listingFormat(undefined, format), { code: 'BAD_REQUEST', message });
  }
  t.end();
});

t.test('caches keep the formats apart, and a page can load nothing', (t) => {
  for (const format of ['html', 'json', 'text'] as const) {
    t.match(listingHeaders(format), { Vary: 'Accept', 'Cache-Control': 'no-cache' });
  }
  t.match(listingHeaders('html')['Content-Security-Policy'], /^default-src 'none';.*; style-src 'sha256-[\w+/]+='$/);
  t.notOk('Content-Security-Policy' in listingHeaders('json'));
  t.end();
});

t.test('text is one name a line, folders first, then by code unit', async (t) => {
  const entries = [
    file('b'),
    file('B'),
    folder('z'),
    file('a10'),
    file('a2'),
    folder('.disk'),
    file('ä'),
    file('a\nb\r\u001b'),
  ];
  const before = entries.map(({ name }) => name);
  t.same(await rendered('text', [], entries), {
    type: 'text/plain; charset=utf-8',
    body: '.disk/\nz/\nB\na?b??\na10\na2\nb\nä\n',
  });
  t.same(entries.map(({ name }) => name), before, 'what it was given stays as it was'); // prettier-ignore
  t.equal((await rendered('text', [], [])).body, '');
});

t.test('the order is the same whichever way the folder was read', async (t) => {
  const entries = [folder('b'), folder('a'), file('c'), file('d', 1, { type: 'link', link: 'gone' }), file('e')];
  const { body } = await rendered('json', [], entries);
  t.equal((await rendered('json', [], [...entries].reverse())).body, body);
  t.match(body, /"a".*"b".*"c".*"d".*"e"/s);
});

t.test('JSON says name, type, size, and time and link when there are any', async (t) => {
  const link = file('vmlinuz', 5, { modified: undefined, link: 'casper/vmlinuz' });
  const { type, body } = await rendered('json', ['a'], [file('a"\ud83d', 7), folder('d'), link]);
  t.equal(type, 'application/json');
  t.same(JSON.parse(body), [
    { name: 'd', type: 'folder', size: 0 },
    { name: 'a"\ud83d', type: 'file', size: 7, modified: '2014-04-17T09:10:11.123Z' },
    { name: 'vmlinuz', type: 'file', size: 5, link: 'casper/vmlinuz' },
  ]);
});

t.test('a page has a row for each entry, with name, size and time', async (t) => {
  const { type, body } = await rendered('html', ['ubuntu', '14.04'], [file('a.iso', 4_150_000_000), folder('casper')]);
  t.equal(type, 'text/html; charset=utf-8');
  t.match(body, '<title>/ubuntu/14.04/</title>');
  t.match(body, '<td><a href="./casper/">casper/</a></td><td></td>');
  t.match(body, '<td><a href="./a.iso">a.iso</a></td><td class="size" title="4150000000 bytes">4.15 GB</td>');
  t.match(body, '>2014-04-17 09:10</td>');
  t.notMatch(body, '<script');
});

t.test('every folder above is one click away, and nothing is above the root', async (t) => {
  t.same(hrefs((await rendered('html', ['a', 'b'], [])).body), ['../../', '../', './', '../']);
  t.same(hrefs((await rendered('html', ['a'], [])).body), ['../', './', '../']);
  t.same(hrefs((await rendered('html', [], [])).body), ['./']);
  t.match((await rendered('html', [], [])).body, '<title>/</title>');
});

t.test('a name can neither break the page nor its own link', async (t) => {
  const names = [
    '<script>alert(1)<script>',
    '" onmouseover="alert(1)',
    "' onclick='alert(1)",
    'a&amp;b',
    'foo:bar',
    'javascript:alert(1)',
    'a?b#c%d;e+f g',
    'tab\tand\nnewline',
    'ü€💿',
    '...',
  ];
  for (const name of names) {
    const { body } = await rendered('html', [name], [file(name), file('link', 1, { type: 'link', link: name })]);
    t.notMatch(body, /<script|onmouseover="|onclick='/, name);
    const [href = ''] = hrefs(body).slice(-1);
    t.ok(href.startsWith('./'), href);
    t.same(parsePath(href.slice(1)).path, [name], 'the link leads to the very name');
  }
  t.match((await rendered('html', [], [file('a&b<c>')])).body, '>a&amp;b&lt;c&gt;</a>');
});

t.test('one bad entry does not break a listing', async (t) => {
  const broken = file('gone', 0, { type: 'link', link: '../<nowhere>' });
  const undated = file('undated', 0, { modified: new Date(Number.NaN) });
  const notUnicode = file('a\ud83d');
  const entries = [broken, undated, notUnicode];
  const { body } = await rendered('html', [], entries);
  t.match(body, '<td>gone <span class="faint">→ ../&lt;nowhere&gt;</span></td><td></td>', 'a dead link is no link');
  t.match(body, 'href="./a%EF%BF%BD"');
  t.match(JSON.parse((await rendered('json', [], entries)).body), [{}, {}, { name: 'undated', modified: undefined }]);
  t.equal((await rendered('text', [], entries)).body.split('\n').length, 4);
});

t.test('a folder of 50,000 entries comes in pieces, made in turns', async (t) => {
  const entries = Array.from({ length: 50_000 }, (_, index) => file(`file ${(index * 7919) % 50_000}`));
  for (const format of ['html', 'json'] as const) {
    const sizes: number[] = [];
    const work = async () => {
      for await (const piece of renderListing(format, [], entries).pieces) sizes.push(piece.length);
    };
    t.ok((await countTurns(work())) > 3, format);
    t.ok(Math.max(...sizes) < 20_000, 'none of them is large');
  }
  const { body } = await rendered('json', [], entries);
  const names = (JSON.parse(body) as { name: string }[]).map(({ name }) => name);
  t.same(names, entries.map(({ name }) => name).sort());
});

t.test('an empty folder is listed too', async (t) => {
  t.equal((await rendered('json', [], [])).body, '[]\n');
  t.equal((await rendered('text', [], [])).body, '');
  t.match((await rendered('html', [], [])).body, '<tbody>\n</tbody>');
});

t.test('sizes are decimal, as documented', (t) => {
  const cases: [bytes: number, text: string][] = [
    [0, '0 Byte'],
    [17, '17 Byte'],
    [999, '999 Byte'],
    [1000, '1.00 KB'],
    [61_110_000, '61.11 MB'],
    [4_150_000_000, '4.15 GB'],
    [999_994, '999.99 KB'],
    [999_999, '1.00 MB'],
    [999_999_999, '1.00 GB'],
    [1_500_000_000_000, '1500.00 GB'],
  ];
  for (const [bytes, text] of cases) t.equal(formatSize(bytes), text, String(bytes));
  t.end();
});
