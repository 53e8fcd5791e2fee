import { ServiceError } from '../errors.js';
import { encodeSegment, quoted } from '../path.js';
import type { Entry } from '../tree.js';
import { Turns } from '../turns.js';
import { preferredType } from './accept.js';
import { pageHeaders } from './reply.js';
import { sorted } from './sorted.js';

export type ListingFormat = 'html' | 'json' | 'text';

/** A folder's listing as the body of an answer, with its Content-Type. */
export interface Listing {
  readonly type: string;
  /** Made as they are asked for: a folder can have more entries than should hold up everybody else. */
  readonly pieces: AsyncIterable<string>;
}

/** What a listing is put together from. */
interface Layout {
  readonly type: string;
  readonly head: string;
  readonly row: (entry: Entry) => string;
  readonly between: string;
  readonly foot: string;
}

/** Characters of a piece. */
const pieceLength = 16 * 1024;

/**
 * How a folder is to be listed: as the query's `format` says, else as Accept likes it best. HTML when neither says
 * anything that we have: a listing for people is better than a 406.
 * @throws ServiceError BAD_REQUEST: a `format` that there is not
 */
export function listingFormat(accept: string | undefined, format: string | undefined): ListingFormat {
  if (format === 'html' || format === 'json' || format === 'text') return format;
  if (format !== undefined) {
    throw new ServiceError('BAD_REQUEST', `format ${quoted(format)} is not allowed: html, json or text`);
  }
  const type = preferredType(accept, ['text/html', 'application/json', 'text/plain']);
  if (type === 'application/json') return 'json';
  return type === 'text/plain' ? 'text' : 'html';
}

/** The headers that a listing needs beside its type; the names in a folder come from whoever made the image. */
export function listingHeaders(format: ListingFormat): Record<string, string> {
  const headers = { Vary: 'Accept', 'Cache-Control': 'no-cache', 'X-Content-Type-Options': 'nosniff' };
  return format === 'html' ? { ...headers, ...htmlHeaders } : headers;
}

function compareEntries(a: Entry, b: Entry): number {
  if (a.type !== b.type && (a.type === 'folder' || b.type === 'folder')) return a.type === 'folder' ? -1 : 1;
  // Code units, not a locale: the same listing on every replica.
  if (a.name === b.name) return 0;
  return a.name < b.name ? -1 : 1;
}

/** ISO 8601, or undefined also for a Date that is none: one bad entry must not break the listing. */
function isoTime({ modified }: Entry): string | undefined {
  return modified === undefined || Number.isNaN(modified.getTime()) ? undefined : modified.toISOString();
}

const units = ['KB', 'MB', 'GB'];

/** A number of bytes in decimal units, as in `4.15 GB`, `61.11 MB`, `1.00 KB` and `17 Byte`. */
export function formatSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} Byte`;
  // 999.999 rounds to 1000.00, which belongs to the next unit.
  const index = units.findIndex((_, power) => bytes / 1000 ** (power + 1) < 999.995);
  const power = index === -1 ? units.length - 1 : index;
  return `${(bytes / 1000 ** (power + 1)).toFixed(2)} ${units[power] ?? ''}`;
}

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? '');
}

const style = `
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --faint: #6a7077; --line: #e3e6e8; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e8; --paper: #17191b; --faint: #9aa1a8; --line: #303438; --link: #7db7f0; }
}
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 15px/1.6 system-ui, sans-serif; }
body { color: var(--ink); background: var(--paper); }
h1 { font-size: 1.2rem; font-weight: 600; overflow-wrap: anywhere; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .25rem .75rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); }
th, .faint { color: var(--faint); font-weight: 400; }
td:first-child { overflow-wrap: anywhere; white-space: pre-wrap; }
td + td, th + th { white-space: nowrap; font-variant-numeric: tabular-nums; }
.size { text-align: right; }
`;

const htmlHeaders = pageHeaders(style);

/** Links to every folder above, relative: they hold behind a proxy that serves us below another path. */
function breadcrumb(path: readonly string[]): string {
  const crumbs = ['', ...path].map((name, index) => {
    const up = path.length - index;
    const href = up === 0 ? './' : '../'.repeat(up);
    return `<a href="${href}">${index === 0 ? '/' : `${escapeHtml(name)}/`}</a>`;
  });
  return crumbs.join('');
}

function row(entry: Entry): string {
  const slash = entry.type === 'folder' ? '/' : '';
  const label = `${escapeHtml(entry.name)}${slash}`;
  // `./` first: a name like `a:b` alone would be read as a URL with a scheme.
  const href = `./${encodeSegment(entry.name)}${slash}`;
  const name = entry.type === 'link' ? label : `<a href="${escapeHtml(href)}">${label}</a>`;
  const target = entry.link === undefined ? '' : ` <span class="faint">→ ${escapeHtml(entry.link)}</span>`;
  const size =
    entry.type === 'file' ? `<td class="size" title="${entry.size} bytes">${formatSize(entry.size)}` : '<td>';
  const modified = isoTime(entry)?.slice(0, 16).replace('T', ' ') ?? '';
  return `<tr><td>${name}${target}</td>${size}</td><td class="faint">${modified}</td></tr>`;
}

function htmlLayout(path: readonly string[]): Layout {
  const title = escapeHtml(path.map((name) => `/${name}`).join('') + '/');
  const parent = path.length === 0 ? '' : '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n';
  const head = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<h1>${breadcrumb(path)}</h1>
<table>
<thead><tr><th>Name</th><th class="size">Size</th><th>Modified (UTC)</th></tr></thead>
<tbody>
${parent}`;
  const foot = '</tbody>\n</table>\n</body>\n</html>\n';
  return { type: 'text/html; charset=utf-8', head, row: (entry) => `${row(entry)}\n`, between: '', foot };
}

function jsonRow(entry: Entry): string {
  const { name, type, size, link } = entry;
  const text = JSON.stringify({ name, type, size, modified: isoTime(entry), link }, null, 2);
  // A newline inside of a string is escaped: these are the indentation's.
  return `\n${text}`.replaceAll('\n', '\n  ');
}

function jsonLayout(entries: readonly Entry[]): Layout {
  return {
    type: 'application/json',
    head: '[',
    row: jsonRow,
    between: ',',
    foot: entries.length > 0 ? '\n]\n' : ']\n',
  };
}

/** One name a line; control characters as `?`, like ls: a name must not forge a second line. */
const textLayout: Layout = {
  type: 'text/plain; charset=utf-8',
  head: '',
  row: ({ name, type }) => `${name.replace(/\p{Cc}/gu, '?')}${type === 'folder' ? '/' : ''}\n`,
  between: '',
  foot: '',
};

async function* render({ head, row, between, foot }: Layout, entries: readonly Entry[]): AsyncGenerator<string> {
  const turns = new Turns();
  let text = head;
  let separator = '';
  for (const entry of await sorted(entries, compareEntries)) {
    if (turns.isDue) await turns.take();
    text += separator + row(entry);
    separator = between;
    if (text.length < pieceLength) continue;
    yield text;
    text = '';
  }
  yield text + foot;
}

/**
 * Lists a folder: folders first, then by name. Its links are relative, so its URL has to end with a slash.
 * @param path decoded segments of the folder; `[]` is the root
 */
export function renderListing(format: ListingFormat, path: readonly string[], entries: readonly Entry[]): Listing {
  const layouts = { html: () => htmlLayout(path), json: () => jsonLayout(entries), text: () => textLayout };
  const layout = layouts[format]();
  return { type: layout.type, pieces: render(layout, entries) };
}
