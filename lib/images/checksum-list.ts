import { ServiceError } from '../errors.js';
import { quoted } from '../path.js';
import { algorithmOf } from './digests.js';
import { type Algorithm, type Digests } from './hashing.js';

interface Line {
  readonly name: string;
  readonly algorithm: Algorithm;
  /** Hexadecimal, in lower case. */
  readonly digest: string;
}

/** `<hex>  name`, `<hex> *name` and, as some tools write it, `<hex> name`. */
const gnuForm = /^(?<escaped>\\?)(?<digest>[0-9a-f]{32,128}) [ *]?(?<name>.+)$/i;
/** `SHA256 (name) = <hex>`; openssl writes `SHA2-256(name)= <hex>`. */
const bsdForm = /^(?<escaped>\\?)(?<label>[A-Z0-9-]+) ?\((?<name>.+)\) ?= (?<digest>[0-9a-f]{32,128})$/i;
const labels: Readonly<Record<Algorithm, RegExp>> = {
  sha256: /^SHA(2-)?256$/i,
  sha512: /^SHA(2-)?512$/i,
  md5: /^MD5$/i,
};

const escapes = [
  ['\\', '\\\\'],
  ['\n', '\\n'],
  ['\r', '\\r'],
] as const;

/** Undoes what coreutils do to names behind a backslash at the beginning of the line; undefined when it is malformed. */
function unescape(name: string): string | undefined {
  if (!/^(?:[^\\]|\\[\\nr])*$/.test(name)) return undefined;
  return name.replace(/\\./g, (escape) => escapes.find(([, escaped]) => escaped === escape)?.[0] ?? escape);
}

function parseLine(text: string): Line | undefined {
  const { escaped, label, name = '', digest = '' } = (gnuForm.exec(text) ?? bsdForm.exec(text))?.groups ?? {};
  const algorithm = algorithmOf(digest);
  // Other algorithms have digests of the same lengths: SHA512/256, SHA3-256, BLAKE2.
  if (algorithm === undefined || (label !== undefined && !labels[algorithm].test(label))) return undefined;
  const unescaped = escaped === '\\' ? unescape(name) : name;
  return unescaped === undefined ? undefined : { name: unescaped, algorithm, digest: digest.toLowerCase() };
}

/** The lines about a file: those with its very name, or else those with a path that ends in it. */
function linesAbout(text: string, fileName: string): Line[] {
  const lines = text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map(parseLine)
    .filter((line) => line !== undefined);
  const exact = lines.filter(({ name }) => name.replace(/^(?:\.\/+)+/, '') === fileName);
  return exact.length > 0 ? exact : lines.filter(({ name }) => name.endsWith(`/${fileName}`));
}

/**
 * Finds the digests of a file in a list such as SHA256SUMS, in GNU or BSD form (sha256sum(1), cksum(1)), also one that
 * is signed in clear (RFC 9580 7). Other lines are ignored, and no signature is checked.
 * @throws ServiceError BAD_GATEWAY: the list does not have the file, or contradicts itself about it
 */
export function digestIn(text: string, fileName: string): Digests {
  const digests: Partial<Record<Algorithm, string>> = {};
  for (const { algorithm, digest } of linesAbout(text, fileName)) {
    const other = digests[algorithm];
    if (other !== undefined && other !== digest) {
      const message = `The list of checksums has different values of ${algorithm} for ${quoted(fileName)}`;
      throw new ServiceError('BAD_GATEWAY', message);
    }
    digests[algorithm] = digest;
  }
  if (Object.keys(digests).length > 0) return digests;
  throw new ServiceError('BAD_GATEWAY', `The list of checksums has no sha256, sha512 or md5 of ${quoted(fileName)}`);
}

function escapeName(name: string): string {
  return escapes.reduce((text, [character, escaped]) => text.replaceAll(character, escaped), name);
}

/**
 * The text of a SHA256SUMS file, for `sha256sum -c`.
 * @param files those without a digest are left out; it is hexadecimal and in lower case
 */
export function checksumList(files: Iterable<{ readonly name: string; readonly sha256: string | undefined }>): string {
  let list = '';
  for (const { name, sha256 } of files) {
    if (sha256 === undefined) continue;
    const escaped = escapeName(name);
    list += `${escaped === name ? '' : '\\'}${sha256}  ${escaped}\n`;
  }
  return list;
}
