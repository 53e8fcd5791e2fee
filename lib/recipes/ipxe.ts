import { encodePath } from '../path.js';
import type { Boot } from '../systems/system.js';
import {
  argsOf,
  type Bootable,
  isoUrl,
  isWimboot,
  type Places,
  placesOf,
  ramdisksOf,
  readable,
  titleOf,
  urlOf,
} from './bootable.js';

/** What the kernel is told of its RAM disks: under UEFI it asks for them by name. */
function initrdArgs(boot: Boot, places: Places): string[] {
  if (isWimboot(boot) || boot.kind !== 'linux') return [];
  const ramdisks = ramdisksOf(boot, places);
  // What is put into a RAM disk is in the one only that iPXE makes of all.
  if (ramdisks.some(({ as }) => as !== undefined)) return ['initrd=initrd.magic'];
  return ramdisks.map(({ name }) => `initrd=${name}`);
}

function linuxLines(boot: Boot, image: Bootable, places: Places): string[] {
  const args = [...initrdArgs(boot, places), argsOf(boot, image, places)].filter((text) => text !== '');
  const kernel = urlOf(boot.kernel ?? '', places);
  const ramdisks = ramdisksOf(boot, places).map(({ name, url, as }) => {
    return `initrd --name ${name} ${url}${as === undefined ? '' : ` ${as}`} || goto failed`;
  });
  return [`kernel ${[kernel, ...args].join(' ')} || goto failed`, ...ramdisks, 'boot || goto failed'];
}

/** The URL of ESXi's configuration as the network needs it. */
export function esxiConfigUrl({ name, version }: Bootable, { server }: Places): string {
  return server + encodePath(['boot', name, version, 'boot.cfg']);
}

function esxiLines(boot: Boot, image: Bootable, places: Places): string[] {
  const config = esxiConfigUrl(image, places);
  const { kernel, loader } = boot;
  const bios =
    kernel === undefined
      ? ['goto failed']
      : [
          `kernel ${urlOf(kernel, places)} -c ${config} BOOTIF=01-\${netX/mac:hexhyp} || goto failed`,
          'boot || goto failed',
        ];
  const efi =
    loader === undefined
      ? []
      : [':efi', `kernel ${urlOf(loader, places)} -c ${config} || goto failed`, 'boot || goto failed'];
  return [...(loader === undefined ? [] : ['iseq ${platform} efi && goto efi ||']), ...bios, ...efi];
}

function bootLines(boot: Boot, image: Bootable, places: Places): string[] {
  switch (boot.kind) {
    case 'linux':
    case 'multiboot':
      return linuxLines(boot, image, places);
    case 'esxi':
      return esxiLines(boot, image, places);
    case 'iso':
      return [`sanboot --no-describe ${isoUrl(places)} || goto failed`];
  }
}

/**
 * A script of iPXE (iPXE manual, "Scripting") that boots an image.
 * @param server URL of the file server, without a slash at its end
 * @throws ServiceError NOT_FOUND: it needs the .iso, which is not in the store
 */
export function ipxeScript(image: Bootable, boot: Boot, server: string): string {
  const places = placesOf(image, server);
  const title = titleOf(image, boot);
  const lines = [
    '#!ipxe',
    `# ${title}`,
    ...(boot.note === undefined ? [] : [`# ${readable(boot.note)}`]),
    ...bootLines(boot, image, places),
    ':failed',
    `echo ${title} did not boot`,
    'prompt --timeout 30000 Press any key for the shell of iPXE && shell || exit 1',
  ];
  return `${lines.join('\n')}\n`;
}
