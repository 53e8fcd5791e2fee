import { parseNamedPath } from '../path.js';

/** An entry of a boot menu that starts a Linux kernel. Paths as in the menu: with a slash at the beginning they are absolute. */
export interface MenuEntry {
  readonly title: string | undefined;
  readonly kernel: string;
  readonly initrd: readonly string[];
  readonly args: string;
}

interface Unfinished {
  title?: string;
  kernel?: string;
  initrd: string[];
  args: string;
}

const nothing = (title?: string): Unfinished => ({ ...(title !== undefined && { title }), initrd: [], args: '' });

function finished(entries: readonly Unfinished[]): MenuEntry[] {
  return entries.flatMap(({ title, kernel, initrd, args }) =>
    kernel === undefined ? [] : [{ title, kernel, initrd, args: args.trim() }],
  );
}

/** Splits a line at its first space. */
function directiveOf(line: string): [word: string, rest: string] {
  const text = line.trim();
  const end = text.search(/\s/);
  return end < 0 ? [text.toLowerCase(), ''] : [text.slice(0, end).toLowerCase(), text.slice(end).trim()];
}

/** A title without the mark of its key. */
function titleOf(label: string): string {
  return label.replace(/\^/g, '').trim();
}

/** What one more line of an entry of SYSLINUX says. */
function readSyslinux(entry: Unfinished, word: string, rest: string): void {
  if (word === 'kernel' || word === 'linux') entry.kernel = rest.split(/\s/, 1)[0] ?? '';
  if (word === 'initrd') entry.initrd = rest.split(',');
  if (word === 'menu' && /^label\s/i.test(rest)) entry.title = titleOf(rest.slice(5));
  if (word !== 'append') return;
  const initrd = /(?:^|\s)initrd=(\S+)/.exec(rest)?.[1];
  if (initrd !== undefined) entry.initrd = initrd.split(',');
  entry.args = rest.replace(/(?:^|\s)initrd=\S+/, '');
}

/** The files that a configuration of SYSLINUX takes in (SYSLINUX wiki, "Config", INCLUDE). */
export function includedBySyslinux(text: string): string[] {
  return [...text.matchAll(/^\s*(?:menu\s+)?include\s+(\S+)/gim)].map(([, path = '']) => path);
}

/** Reads a configuration of SYSLINUX or ISOLINUX (SYSLINUX wiki, "Config"). Its default comes first. */
export function parseSyslinux(text: string): MenuEntry[] {
  const entries = new Map<string, Unfinished>();
  let entry: Unfinished | undefined;
  let preset = '';
  for (const line of text.split('\n')) {
    const [word, rest] = directiveOf(line);
    if (word === 'default') preset = rest;
    else if (word === 'label') {
      entry = nothing(rest);
      entries.set(rest, entry);
    } else if (entry !== undefined) {
      if (word === 'menu' && /^default\b/i.test(rest)) preset = [...entries.keys()].at(-1) ?? preset;
      readSyslinux(entry, word, rest);
    }
  }
  const first = entries.get(preset);
  const all =
    first === undefined ? [...entries.values()] : [first, ...[...entries.values()].filter((one) => one !== first)];
  // Programs of SYSLINUX itself are no kernels.
  return finished(all).filter(({ kernel }) => !/\.(?:c32|0|bin|bss|com|cbt)$/i.test(kernel));
}

/** The words of a line of GRUB's shell, without their quotes (GNU GRUB manual, 6.1 Quoting). */
function wordsOf(line: string): string[] {
  const words = line.match(/(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+/g) ?? [];
  const parts = /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g;
  return words.map((word) =>
    word.replace(parts, (_, single?: string, double?: string, escaped?: string) => {
      return single ?? double?.replace(/\\(.)/g, '$1') ?? escaped ?? '';
    }),
  );
}

const grubKernel = /^(?:linux|linuxefi|linux16|kernel)$/;
const grubInitrd = /^(?:initrd|initrdefi|initrd16)$/;

/** Reads the menu entries of a configuration of GRUB 2. What its variables hold is not known here. */
export function parseGrub(text: string): MenuEntry[] {
  const entries: Unfinished[] = [];
  for (const line of text.split('\n')) {
    const [word = '', ...rest] = wordsOf(line.trim());
    if (word === 'menuentry') entries.push(nothing(rest[0]));
    const entry = entries.at(-1);
    if (entry === undefined) continue;
    if (grubKernel.test(word) && entry.kernel === undefined) {
      entry.kernel = rest[0] ?? '';
      entry.args = rest.slice(1).join(' ');
    }
    if (grubInitrd.test(word)) entry.initrd = rest;
  }
  return finished(entries);
}

/** Reads an entry of systemd-boot (The Boot Loader Specification, Type #1). */
export function parseLoaderEntry(text: string): MenuEntry[] {
  const entry = nothing();
  for (const line of text.split('\n')) {
    const [word, rest] = directiveOf(line);
    if (word === 'title') entry.title = rest;
    if (word === 'linux') entry.kernel = rest;
    if (word === 'initrd') entry.initrd.push(rest);
    if (word === 'options') entry.args += `${rest} `;
  }
  return finished([entry]);
}

/**
 * A path of a menu as one of the image.
 * @param folder that of the menu
 * @throws ServiceError BAD_REQUEST: it leads out of the image
 */
export function pathInImage(path: string, folder: string): string {
  // GRUB may name a device before it.
  const text = path.replace(/^\([^)]*\)/, '');
  return parseNamedPath(text.startsWith('/') ? text : `${folder}/${text}`, 'A boot menu names').join('/');
}
