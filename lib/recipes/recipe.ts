import { ServiceError } from '../errors.js';
import { encodePath } from '../path.js';
import type { Boot, Workflow } from '../systems/system.js';
import { type Bootable, expanded, type Places, placesOf, ramdisksOf, urlOf } from './bootable.js';
import { grubEntry } from './grub.js';
import { ipxeScript } from './ipxe.js';

/** Who can be told how to boot an image. */
export const audiences = ['rackhd', 'ipxe', 'grub', 'uefi-http', 'curl'] as const;
export type Audience = (typeof audiences)[number];

/** A text, or a value that becomes JSON. */
export type Recipe = { readonly text: string } | { readonly value: unknown };

/** Arguments as RackHD takes them: by their names. */
function kargsOf(args: string): Record<string, string> {
  const words = args.split(/\s+/).filter((word) => word !== '');
  return Object.fromEntries(
    words.map((word) => [word.split('=', 1)[0] ?? '', word.includes('=') ? word.slice(word.indexOf('=') + 1) : '']),
  );
}

function expandedOptions(options: Workflow['options'], places: Places): Record<string, unknown> {
  const entries = Object.entries(options).map(([name, option]) => [
    name,
    typeof option === 'string' ? expanded(option, places) : expandedOptions(option, places),
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/** What is posted to RackHD (`POST /api/2.0/nodes/ID/workflows`) to install the system on a node. */
function rackhd(image: Bootable, places: Places): Recipe {
  const workflow = image.os?.rackhd;
  if (workflow === undefined) {
    throw new ServiceError('NOT_FOUND', 'No workflow of RackHD is known that installs this from its image');
  }
  if (!places.server.startsWith('http:'))
    throw new ServiceError('NOT_FOUND', 'RackHD takes repositories by http alone');
  const options = expandedOptions(workflow.options, places);
  const kargs = {
    ...(options['kargs'] as object | undefined),
    ...(image.args !== undefined && kargsOf(expanded(image.args, places))),
  };
  const defaults = { ...options, ...(Object.keys(kargs).length > 0 && { kargs }) };
  return { value: { name: workflow.graph, options: { defaults } } };
}

/** What firmware is given for HTTP boot (UEFI 24.7): the loader, and the whole disc, which it takes as a RAM disk. */
function uefiHttp(image: Bootable, boot: Boot, places: Places): Recipe {
  const { kind, loader } = boot;
  if (loader === undefined && places.iso === undefined) {
    throw new ServiceError('NOT_FOUND', 'The image has no loader for UEFI, and the store has not its .iso');
  }
  // It looks for its configuration beside itself.
  const ofEsxi = places.server + encodePath(['boot', image.name, image.version, 'bootx64.efi']);
  const url = loader === undefined ? undefined : kind === 'esxi' ? ofEsxi : urlOf(loader, places);
  return { value: { ...(url !== undefined && { loader: url }), ...(places.iso !== undefined && { iso: places.iso }) } };
}

/** In a shell, single quotes keep everything as it is (POSIX 2.2.2). */
function shellWord(text: string): string {
  return /^[\w.,:=/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Commands that fetch everything that is known to be needed. */
function curl(boot: Boot, places: Places): Recipe {
  const { kernel, loader, config, files = [] } = boot;
  const paths = [kernel, loader, config, ...files].filter((path) => path !== undefined);
  const urls = [...paths.map((path) => urlOf(path, places)), ...ramdisksOf(boot, places).map(({ url }) => url)];
  const all = boot.kind === 'iso' && places.iso !== undefined ? [...urls, places.iso] : urls;
  return { text: [...new Set(all)].map((url) => `curl --fail --remote-name ${shellWord(url)}\n`).join('') };
}

/**
 * How somebody boots an image.
 * @param server URL of the file server as machines reach it, without a slash at its end
 * @throws ServiceError NOT_FOUND: it cannot be done, and why
 */
export function recipeFor(audience: Audience, image: Bootable, boot: Boot, server: string): Recipe {
  const places = placesOf(image, server);
  switch (audience) {
    case 'rackhd':
      return rackhd(image, places);
    case 'ipxe':
      return { text: ipxeScript(image, boot, server) };
    case 'grub':
      return { text: grubEntry(image, boot, server) };
    case 'uefi-http':
      return uefiHttp(image, boot, places);
    case 'curl':
      return curl(boot, places);
  }
}

/** All recipes by who they are for; in `missing` why there is none for the others. */
export function allRecipes(image: Bootable, boot: Boot, server: string): Readonly<Record<string, unknown>> {
  const recipes: Record<string, unknown> = {};
  const missing: Record<string, string> = {};
  for (const audience of audiences) {
    try {
      const recipe = recipeFor(audience, image, boot, server);
      recipes[audience] = 'text' in recipe ? recipe.text : recipe.value;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      missing[audience] = error.message;
    }
  }
  return { ...recipes, ...(Object.keys(missing).length > 0 && { missing }) };
}
