import { messageOf, ServiceError } from '../errors.js';
import type { Markers } from './markers.js';
import {
  includedBySyslinux,
  type MenuEntry,
  parseGrub,
  parseLoaderEntry,
  parseSyslinux,
  pathInImage,
} from './menus.js';
import type { Boot } from './system.js';

const syslinuxMenus = [
  'isolinux/isolinux.cfg',
  'boot/isolinux/isolinux.cfg',
  'isolinux.cfg',
  'syslinux/syslinux.cfg',
  'boot/syslinux/syslinux.cfg',
  'syslinux.cfg',
  'boot/x86_64/loader/isolinux.cfg',
];
const grubMenus = ['boot/grub/grub.cfg', 'boot/grub2/grub.cfg', 'EFI/BOOT/grub.cfg', 'grub/grub.cfg'];
const loaderEntries = 'loader/entries/*.conf';

/** Entries that a record shows. */
const maxEntries = 16;
/** Files that one menu takes in. */
const maxIncludes = 16;
const maxArgs = 2000;

function folderOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

/** A menu of SYSLINUX with all that it takes in, as SYSLINUX reads them: one text. */
async function syslinuxText(path: string, markers: Markers): Promise<string> {
  const texts: string[] = [];
  const waiting = [path];
  const seen = new Set<string>();
  for (let next = waiting.shift(); next !== undefined && seen.size < maxIncludes; next = waiting.shift()) {
    if (seen.has(next)) continue;
    seen.add(next);
    const text = (await markers.text(next)) ?? '';
    texts.push(text);
    for (const included of includedBySyslinux(text)) {
      const inImage = tryPath(included, folderOf(path), markers);
      if (inImage !== undefined) waiting.push(inImage);
    }
  }
  return texts.join('\n');
}

function tryPath(path: string, folder: string, markers: Markers): string | undefined {
  try {
    return pathInImage(path, folder);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    markers.report(messageOf(error));
    return undefined;
  }
}

/**
 * Arguments without those that only mean something where they were written: with variables of GRUB, and what would end
 * the command of another boot loader.
 */
function portable(args: string): string {
  const words = args.split(/\s+/).filter((word) => !/[$`{}]|\p{Cc}/u.test(word) && !/^(?:\|\||&&|;)$/.test(word));
  return words.join(' ').slice(0, maxArgs);
}

/** An entry as a way to boot, if its files are there. */
async function bootOf(entry: MenuEntry, folder: string, markers: Markers): Promise<Boot | undefined> {
  // What variables of a menu hold is not known here.
  if ([entry.kernel, ...entry.initrd].some((path) => path.includes('$'))) return undefined;
  const [kernel, ...initrd] = [entry.kernel, ...entry.initrd].map((path) => tryPath(path, folder, markers));
  if (kernel === undefined || initrd.includes(undefined)) return undefined;
  const paths = initrd.filter((path) => path !== undefined);
  for (const path of [kernel, ...paths]) if ((await markers.typeOf(path)) !== 'file') return undefined;
  const title = entry.title?.replace(/\p{Cc}/gu, ' ').slice(0, 100);
  const args = portable(entry.args);
  return {
    kind: 'linux',
    ...(title !== undefined && { title }),
    kernel,
    ...(paths.length > 0 && { initrd: paths }),
    ...(args !== '' && { args }),
  };
}

/** The entries of all menus, with the folders in which the menus are. */
async function menuEntries(markers: Markers): Promise<[MenuEntry, string][]> {
  const found: [MenuEntry, string][] = [];
  for (const path of syslinuxMenus) {
    const text = await syslinuxText(path, markers);
    found.push(...parseSyslinux(text).map((entry): [MenuEntry, string] => [entry, folderOf(path)]));
  }
  for (const path of grubMenus) {
    const text = (await markers.text(path)) ?? '';
    found.push(...parseGrub(text).map((entry): [MenuEntry, string] => [entry, '']));
  }
  for (const path of (await markers.find(loaderEntries)).slice(0, maxEntries)) {
    const text = (await markers.text(path)) ?? '';
    found.push(...parseLoaderEntry(text).map((entry): [MenuEntry, string] => [entry, '']));
  }
  return found;
}

/** What the ISO's own boot menus start, those of SYSLINUX before those of GRUB and of systemd-boot. */
export async function inspect(markers: Markers): Promise<Boot[]> {
  const found = new Map<string, Boot>();
  for (const [entry, folder] of await menuEntries(markers)) {
    if (found.size >= maxEntries) break;
    const boot = await bootOf(entry, folder, markers);
    // BIOS and UEFI have the same entries in menus of their own.
    const key = boot && [boot.kernel, ...(boot.initrd ?? []), boot.args].join(' ').toLowerCase();
    if (boot !== undefined && key !== undefined && !found.has(key)) found.set(key, boot);
  }
  return [...found.values()];
}
