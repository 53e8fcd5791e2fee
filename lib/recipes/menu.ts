import { ServiceError } from '../errors.js';
import { encodeSegment } from '../path.js';
import { type Bootable, titleOf } from './bootable.js';
import { grubEntry } from './grub.js';

/** What a menu does when nobody chooses. */
export interface MenuOptions {
  /** `NAME/VERSION`; undefined: the newest. */
  readonly bootDefault: string | undefined;
  /** Milliseconds until it does; 0: never. */
  readonly bootTimeout: number;
}

/** Those that can boot, newest first; those of an unknown age last. */
export function inMenu(images: readonly Bootable[]): Bootable[] {
  const bootable = images.filter(({ boot = [] }) => boot.length > 0);
  return bootable.sort((one, other) => (other.createdAt ?? '').localeCompare(one.createdAt ?? ''));
}

/** The one that is meant by `NAME/VERSION`, if it is there: in any case. */
export function imageNamed<T extends Bootable>(images: readonly T[], place: string): T | undefined {
  const placeOf = ({ name, version }: Bootable) => `${name}/${version}`;
  const wanted = place.toLowerCase();
  return (
    images.find((image) => placeOf(image) === place) ?? images.find((image) => placeOf(image).toLowerCase() === wanted)
  );
}

function defaultOf(images: readonly Bootable[], { bootDefault }: MenuOptions): Bootable | undefined {
  return (bootDefault === undefined ? undefined : imageNamed(images, bootDefault)) ?? images[0];
}

/** `NAME/VERSION` as a value in a query. */
function placeOf({ name, version }: Bootable): string {
  return [name, version].map(encodeSegment).join('/');
}

/** A line of a menu for each way to boot, with the URL that its script has. */
function choicesOf(images: readonly Bootable[], server: string) {
  return images.flatMap((image, number) =>
    (image.boot ?? []).map((boot, index) => ({
      label: `i${number}_${index}`,
      title: titleOf(image, boot),
      image,
      boot,
      url: `${server}/boot.ipxe?image=${placeOf(image)}&entry=${index}`,
    })),
  );
}

/**
 * A menu of iPXE (iPXE manual, `menu`, `choose`) of all images that can boot.
 * @param server URL of the file server, without a slash at its end
 */
export function ipxeMenu(all: readonly Bootable[], options: MenuOptions, server: string): string {
  const images = inMenu(all);
  const choices = choicesOf(images, server);
  const preset = defaultOf(images, options);
  const first = choices.find(({ image }) => image === preset)?.label ?? 'exit';
  const { bootTimeout } = options;
  const timeout = bootTimeout > 0 ? ` --timeout ${bootTimeout}` : '';
  const lines = [
    '#!ipxe',
    ':start',
    'menu Images',
    ...choices.map(({ label, title }) => `item ${label} ${title}`),
    ...(choices.length === 0 ? ['item --gap No image is OK that can boot'] : []),
    'item --gap',
    'item shell Shell of iPXE',
    'item exit Go on with the next boot device',
    `choose --default ${first}${timeout} target && goto \${target} || goto exit`,
    ...choices.flatMap(({ label, url }) => [`:${label}`, `chain --autofree ${url} || goto start`]),
    ':shell',
    'shell || goto start',
    ':exit',
    'exit 1',
  ];
  return `${lines.join('\n')}\n`;
}

/** The entries of an image that GRUB can boot. */
function grubEntries(images: readonly Bootable[], server: string) {
  return choicesOf(images, server).flatMap(({ image, boot }) => {
    try {
      return [{ image, text: grubEntry(image, boot, server) }];
    } catch (error) {
      if (error instanceof ServiceError) return [];
      throw error;
    }
  });
}

/** A configuration of GRUB 2 with all images that it can boot. @param server URL of the file server */
export function grubMenu(all: readonly Bootable[], options: MenuOptions, server: string): string {
  const images = inMenu(all);
  const entries = grubEntries(images, server);
  const preset = defaultOf(images, options);
  const index = Math.max(
    entries.findIndex(({ image }) => image === preset),
    0,
  );
  const { bootTimeout } = options;
  const timeout = bootTimeout > 0 ? Math.ceil(bootTimeout / 1000) : -1;
  return `set timeout=${timeout}\nset default=${index}\n\n${entries.map(({ text }) => text).join('\n')}`;
}
