import { ServiceError } from '../errors.js';
import type { Boot } from '../systems/system.js';
import {
  argsOf,
  type Bootable,
  isWimboot,
  type Places,
  placesOf,
  ramdisksOf,
  readable,
  titleOf,
  urlOf,
} from './bootable.js';

/** A URL as GRUB names files (GNU GRUB manual, "File name syntax"): with a port where it is not that of http. */
function fileOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  if (protocol === 'http:') return quoted(`(http,${host})${pathname}`);
  throw new ServiceError('NOT_FOUND', 'GRUB fetches nothing by https');
}

/** In single quotes nothing means anything (GNU GRUB manual, "Quoting"). */
function quoted(text: string): string {
  return /^[\w.,:=/@%+()-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The words of arguments, each for itself. */
function quotedArgs(args: string): string {
  return args
    .split(/\s+/)
    .filter((word) => word !== '')
    .map(quoted)
    .join(' ');
}

function linuxLines(boot: Boot, image: Bootable, places: Places): string[] {
  const suffix = isWimboot(boot) ? '16' : '';
  const files = ramdisksOf(boot, places).map(({ url, as }) =>
    as === undefined ? fileOf(url) : `newc:${as}:${fileOf(url)}`,
  );
  const kernel = [`linux${suffix}`, fileOf(urlOf(boot.kernel ?? '', places)), quotedArgs(argsOf(boot, image, places))];
  return [kernel.join(' ').trimEnd(), ...(files.length > 0 ? [`initrd${suffix} ${files.join(' ')}`] : [])];
}

function multibootLines(boot: Boot, image: Bootable, places: Places): string[] {
  const kernel = ['multiboot2', fileOf(urlOf(boot.kernel ?? '', places)), quotedArgs(argsOf(boot, image, places))];
  return [kernel.join(' ').trimEnd(), ...ramdisksOf(boot, places).map(({ url }) => `module2 ${fileOf(url)}`)];
}

/** @throws ServiceError NOT_FOUND: GRUB cannot boot it */
function bootLines(boot: Boot, image: Bootable, places: Places): string[] {
  if (boot.kind === 'linux') return linuxLines(boot, image, places);
  if (boot.kind === 'multiboot') return multibootLines(boot, image, places);
  if (boot.kind === 'iso' && boot.loader !== undefined) return [`chainloader ${fileOf(urlOf(boot.loader, places))}`];
  const what = boot.kind === 'esxi' ? 'ESXi' : 'a whole .iso without a loader for UEFI';
  throw new ServiceError('NOT_FOUND', `GRUB cannot boot ${what} over the network; iPXE can`);
}

/**
 * A menu entry of GRUB 2 (GNU GRUB manual, "menuentry") that boots an image.
 * @param server URL of the file server, without a slash at its end
 * @throws ServiceError NOT_FOUND: GRUB cannot boot it, or it needs the .iso, which is not in the store
 */
export function grubEntry(image: Bootable, boot: Boot, server: string): string {
  const lines = [
    ...(boot.note === undefined ? [] : [`# ${readable(boot.note)}`]),
    ...bootLines(boot, image, placesOf(image, server)),
  ];
  return `menuentry '${titleOf(image, boot)}' {\n${lines.map((line) => `  ${line}\n`).join('')}}\n`;
}
