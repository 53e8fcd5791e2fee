import { ServiceError } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import { ownUrl } from '../http/own-url.js';
import { send } from '../http/reply.js';
import { bootableOf } from '../images/bootable.js';
import { argsOf, bootAt, placesOf } from '../recipes/bootable.js';
import { grubEntry } from '../recipes/grub.js';
import { ipxeScript } from '../recipes/ipxe.js';
import { grubMenu, ipxeMenu, type MenuOptions } from '../recipes/menu.js';
import { rewriteBootConfig } from '../systems/esxi.js';
import type { Boot } from '../systems/system.js';
import { startOf } from '../tree-content.js';
import type { FileNode } from '../tree.js';
import type { ServedImage, ServedImages, UrlSpace } from './url-space.js';

export interface BootOptions extends MenuOptions {
  /** URL of the file server as machines reach it; undefined: the one that is asked. */
  readonly publicUrl: string | undefined;
}

export interface BootFilesOptions {
  readonly images: ServedImages;
  readonly boot: BootOptions;
  readonly apiRoot: string;
}

/** Bytes of a `boot.cfg` that are read. */
const configBytes = 64 * 1024;

/** The image and the way to boot it that a query names: `image=NAME/VERSION`, and `entry` where it is not the first. */
interface Choice {
  readonly name: string;
  readonly version: string;
  readonly index: number;
}

function choiceOf({ query }: Exchange): Choice | undefined {
  const image = query.get('image');
  if (image === null) return undefined;
  const [name = '', version = '', ...more] = image.split('/');
  const entry = query.get('entry') ?? '0';
  if (name === '' || version === '' || more.length > 0 || !/^\d{1,3}$/.test(entry)) {
    throw new ServiceError('BAD_REQUEST', 'image must be NAME/VERSION, and entry a number: the first is 0');
  }
  return { name, version, index: Number(entry) };
}

/** Files that are made when they are asked for: what boots the images. */
export class BootFiles {
  constructor(
    private readonly space: UrlSpace,
    private readonly options: BootFilesOptions,
  ) {}

  /**
   * Answers a path of theirs; gives a file of an image to whoever sends files, and false for any other path.
   * @throws ServiceError BAD_REQUEST, NOT_FOUND: nothing boots, and why; UNAVAILABLE: the image is not ready in time
   */
  async serve(exchange: Exchange, path: readonly string[]): Promise<boolean | FileNode> {
    const server = this.#server(exchange);
    if (path.length === 1 && path[0] === 'boot.ipxe') return this.#script(exchange, ipxeScript, ipxeMenu, server);
    if (path[0] !== 'boot') return false;
    if (path.length === 2 && path[1] === 'grub.cfg') return this.#script(exchange, grubEntry, grubMenu, server);
    const [, name = '', version = '', file = ''] = path;
    if (path.length !== 4 || !['boot.cfg', 'bootx64.efi', 'bootaa64.efi'].includes(file)) return false;
    return this.#esxi(exchange, { name, version, file }, server);
  }

  #server(exchange: Exchange): string {
    const { boot, apiRoot } = this.options;
    return boot.publicUrl ?? ownUrl(exchange.request) + apiRoot.replace(/\/$/, '');
  }

  async #script(exchange: Exchange, one: typeof ipxeScript, menu: typeof ipxeMenu, server: string): Promise<boolean> {
    const choice = choiceOf(exchange);
    if (choice === undefined) {
      const images = this.options.images.served().map(bootableOf);
      sendText(exchange, menu(images, this.options.boot, server));
      return true;
    }
    const { record } = await this.#image(choice.name, choice.version, exchange);
    const image = bootableOf(record);
    sendText(exchange, one(image, bootAt(image, choice.index), server));
    return true;
  }

  async #image(name: string, version: string, exchange: Exchange): Promise<ServedImage> {
    const image = await this.space.image(name, version, exchange);
    if (image === undefined) throw new ServiceError('NOT_FOUND', `There is no image ${name}/${version}`);
    return image;
  }

  /** What ESXi's loader asks for: its configuration as the network needs it, and beside that the loader itself. */
  async #esxi(exchange: Exchange, asked: { name: string; version: string; file: string }, server: string) {
    const image = await this.#image(asked.name, asked.version, exchange);
    const { boot = [] } = image.record;
    const isConfig = asked.file === 'boot.cfg';
    const fits = ({ kind, loader = '' }: Boot) =>
      kind === 'esxi' && (isConfig || loader.toLowerCase().endsWith(asked.file));
    const found = boot.find(fits);
    const path = isConfig ? found?.config : found?.loader;
    const node = path === undefined ? undefined : await image.tree?.lookup(path.split('/'), 'any-case');
    if (node?.type !== 'file')
      throw new ServiceError('NOT_FOUND', `${asked.name}/${asked.version} has no ESXi to boot`);
    if (!isConfig) return node;
    const text = await startOf(node.file, configBytes).finally(() => node.file.close());
    const bootable = bootableOf(image.record);
    const places = placesOf(bootable, server);
    sendText(
      exchange,
      rewriteBootConfig(text.toString(), places.tree, argsOf(found ?? { kind: 'esxi' }, bootable, places)),
    );
    return true;
  }
}

function sendText(exchange: Exchange, text: string): void {
  send(exchange, 200, 'text/plain; charset=utf-8', text, { 'Cache-Control': 'no-store' });
}
