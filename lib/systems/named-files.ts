import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { filesOf } from './esxi.js';
import { parseIni } from './ini.js';

/** Characters of one line. */
const maxLine = 64 * 1024;

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1);
}

/** Those that a `.treeinfo` names: what Anaconda and virt-install fetch. */
export function namedByTreeinfo(text: string): string[] {
  const named: string[] = [];
  for (const [section, values] of parseIni(text)) {
    if (section === 'checksums') named.push(...values.keys());
    // Nobody fetches the boot.iso, which discs name and do not hold.
    if (!section.startsWith('images-') && section !== 'stage2') continue;
    named.push(...[...values].filter(([key]) => key !== 'boot.iso').map(([, path]) => path));
  }
  return [...new Set(named)].filter((path) => path !== '' && !path.endsWith('images/boot.iso'));
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Those that a `repomd.xml` names (createrepo_c): relative to the folder above `repodata`. */
export function namedByRepomd(text: string, path: string): string[] {
  const repository = folderOf(folderOf(path).slice(0, -1));
  const locations = [...text.matchAll(/<location\s[^>]{0,1000}>/g)].map(([element]) => element);
  return locations.flatMap((element) => {
    const href = /\shref="([^"]*)"/.exec(element)?.[1];
    // One with a base is elsewhere.
    if (href === undefined || /\sxml:base=/.test(element) || /^\w+:/.test(href)) return [];
    return [repository + href.replace(/&(\w+);/g, (whole, name: string) => entities[name] ?? whole)];
  });
}

/** Those that a `boot.cfg` of ESXi names. @throws ServiceError BAD_REQUEST as `parseBootConfig` */
export function namedByBootConfig(text: string): string[] {
  return filesOf(text);
}

/** The lines of a text that comes in pieces; a longer one than any that is meant is cut. */
async function* linesOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + piece.toString('latin1')).split('\n');
    rest = (lines.pop() ?? '').slice(0, maxLine);
    yield* lines;
  }
  if (rest !== '') yield rest;
}

async function* bounded(pieces: AsyncIterable<Buffer>, limit: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const piece of pieces) {
    yield piece;
    bytes += piece.length;
    if (bytes > limit) return;
  }
}

function decompressed(content: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  // Each ends with the other; what goes wrong is told to whoever reads the outcome.
  return pipeline(Readable.from(content), createGunzip(), () => undefined);
}

/**
 * Those that a `Packages` or `Packages.gz` names (Debian repository format, "Packages Indices"): relative to the folder
 * above `dists`.
 * @param limit bytes of it that are read, decompressed
 */
export async function* namedByPackages(
  content: AsyncIterable<Buffer>,
  path: string,
  limit: number,
): AsyncGenerator<string> {
  const start = /^(.*?)(?:^|\/)dists\//.exec(path);
  const archive = start?.[1] === undefined || start[1] === '' ? '' : `${start[1]}/`;
  const plain = path.endsWith('.gz') ? decompressed(content) : content;
  for await (const line of linesOf(bounded(plain, limit))) {
    const name = /^Filename:\s*(\S.*?)\s*$/i.exec(line)?.[1];
    if (name !== undefined) yield archive + Buffer.from(name, 'latin1').toString();
  }
}
