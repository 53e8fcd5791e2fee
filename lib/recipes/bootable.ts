import { ServiceError } from '../errors.js';
import { encodePath } from '../path.js';
import type { Boot, OperatingSystem } from '../systems/system.js';

/** An image, as far as booting it goes. */
export interface Bootable {
  readonly name: string;
  readonly version: string;
  /** The name of its .iso in the store; undefined when it is not there. */
  readonly iso?: string | undefined;
  readonly os?: OperatingSystem | undefined;
  /** The first one is the usual one. */
  readonly boot?: readonly Boot[] | undefined;
  /** Arguments of the kernel that the operator gave it. */
  readonly args?: string | undefined;
  readonly createdAt?: string | undefined;
}

/** Where a machine finds an image. URLs without a slash at their ends. */
export interface Places {
  /** Of the file server. */
  readonly server: string;
  readonly tree: string;
  /** Of the folder of all versions. */
  readonly parent: string;
  readonly iso: string | undefined;
  /** Host and port, and the path of the tree. */
  readonly host: string;
  readonly path: string;
}

/** @param server URL of the file server, without a slash at its end */
export function placesOf({ name, version, iso }: Bootable, server: string): Places {
  const tree = server + encodePath([name, version]);
  const { host, pathname } = new URL(tree);
  const parent = server + encodePath([name]);
  return {
    server,
    tree,
    parent,
    iso: iso === undefined ? undefined : server + encodePath(['iso', iso]),
    host,
    path: pathname,
  };
}

/** The URL of a path as `Boot` has it. @throws ServiceError NOT_FOUND: it is the .iso, which is not in the store */
export function urlOf(path: string, places: Places): string {
  if (path === '{iso}') return isoUrl(places);
  const segments = path.split('/').filter((segment) => segment !== '');
  return (path.startsWith('/') ? places.server : places.tree) + encodePath(segments);
}

/** @throws ServiceError NOT_FOUND */
export function isoUrl({ iso }: Places): string {
  if (iso !== undefined) return iso;
  throw new ServiceError('NOT_FOUND', 'This boots by its whole .iso, and the store has none');
}

/** A text with the URLs of an image in place of what stands for them. */
export function expanded(text: string, places: Places): string {
  const { tree, parent, host, path } = places;
  const known: Readonly<Record<string, string>> = { tree, parent, host, path };
  return text.replace(/\{(tree|parent|iso|host|path)\}/g, (_, name: string) => known[name] ?? isoUrl(places));
}

/** The arguments of the kernel, those of the operator last. */
export function argsOf(boot: Boot, { args }: Bootable, places: Places): string {
  const all = [boot.args, boot.repository, args].filter((text) => text !== undefined);
  return all.map((text) => expanded(text, places)).join(' ');
}

/** Files that are loaded beside the kernel, with a name for each that no other one has. */
export interface Ramdisk {
  readonly name: string;
  readonly url: string;
  /** Where the file is put into the RAM disk; undefined for a RAM disk itself. */
  readonly as: string | undefined;
}

export function ramdisksOf({ initrd = [], inject = {} }: Boot, places: Places): Ramdisk[] {
  const names = new Set<string>();
  const own = initrd.map((path, index) => {
    const base = (path.split('/').at(-1) ?? '').replace(/[^\w.-]/g, '_');
    const name = names.has(base) ? `${index}-${base}` : base;
    names.add(name);
    return { name, url: urlOf(path, places), as: undefined };
  });
  return [...own, ...Object.entries(inject).map(([as, path]) => ({ name: as, url: urlOf(path, places), as }))];
}

/** Whether the kernel is wimboot, which takes its files by their names and needs no arguments. */
export function isWimboot({ kernel }: Boot): boolean {
  return kernel?.split('/').at(-1) === 'wimboot';
}

/** A text of an ISO or an operator as it may stand in a line of a script for people to read. */
export function readable(text: string): string {
  return text.replace(/\p{Cc}|[$`{}\\'"]|\p{Zl}|\p{Zp}/gu, ' ');
}

/** What people call a way to boot an image. */
export function titleOf(image: Bootable, boot: Boot): string {
  const { name, version, os } = image;
  const system =
    os === undefined || os.family === 'generic'
      ? undefined
      : [os.distribution ?? os.family, os.version].join(' ').trim();
  const details = [system, boot.architecture, boot.title].filter((part) => part !== undefined);
  return readable(`${name} ${version}${details.length > 0 ? ` (${details.join(', ')})` : ''}`);
}

/** @throws ServiceError NOT_FOUND: it has no such way to boot */
export function bootAt(image: Bootable, index: number): Boot {
  const { boot = [], os } = image;
  const found = boot[index];
  if (found !== undefined) return found;
  if (boot.length > 0) {
    throw new ServiceError(
      'NOT_FOUND',
      `${image.name} ${image.version} has ${boot.length} ways to boot, the first is 0`,
    );
  }
  const why = os?.problems === undefined ? '' : `: ${os.problems.join('; ')}`;
  throw new ServiceError('NOT_FOUND', `Nothing is known that ${image.name} ${image.version} boots${why}`);
}
