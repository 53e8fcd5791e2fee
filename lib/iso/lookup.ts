import type { Children, IsoEntry, IsoFile, IsoFolder, IsoLink } from './entries.js';
import type { Volume } from './volume.js';
import { Budget } from './budget.js';

/** Links followed in one lookup: what Linux allows. */
const maxLinks = 40;

/** How a name is compared with the names of a folder. */
export type NameMatch = 'exact' | 'any-case';

const foldedNames = new WeakMap<Children, ReadonlyMap<string, string>>();

/** The names of a folder by their lower-case form. Of several, the first in code-unit order. */
function foldNames(children: Children): ReadonlyMap<string, string> {
  const known = foldedNames.get(children);
  if (known !== undefined) return known;
  const folded = new Map<string, string>();
  for (const name of children.keys()) {
    const key = name.toLowerCase();
    const other = folded.get(key);
    if (other === undefined || name < other) folded.set(key, name);
  }
  foldedNames.set(children, folded);
  return folded;
}

function findChild(children: Children, name: string, match: NameMatch): IsoEntry | undefined {
  const exact = children.get(name);
  if (exact !== undefined || match === 'exact') return exact;
  const folded = foldNames(children).get(name.toLowerCase());
  return folded === undefined ? undefined : children.get(folded);
}

/** Where to search, how, and what it may cost. */
export interface Search {
  readonly volume: Volume;
  readonly match: NameMatch;
  readonly budget: Budget;
}

type Found = Promise<IsoFile | IsoFolder | undefined>;

/**
 * @param rest the segments to walk, the next one last
 * @param followed links that led here
 */
async function walk({ volume, match, budget }: Search, start: IsoFolder, rest: string[], followed: number): Found {
  let here = start;
  let links = followed;
  for (let segment = rest.pop(); segment !== undefined; segment = rest.pop()) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') {
      here = here.parent ?? volume.root;
      continue;
    }
    budget.spend(1);
    const entry = findChild(await volume.children(here, budget), segment, match);
    if (entry?.type === 'folder') {
      here = entry;
    } else if (entry?.type === 'link') {
      if (++links > maxLinks) return undefined;
      if (entry.target.startsWith('/')) here = volume.root;
      rest.push(...entry.target.split('/').reverse());
    } else {
      return rest.length === 0 ? entry : undefined;
    }
  }
  return here;
}

/**
 * Finds what a path from the root leads to; links are followed inside the volume, at most 40 of them.
 * @returns undefined when it leads nowhere
 * @throws ServiceError BROKEN_ISO when a folder on the way is too much work to read
 */
export function lookup(volume: Volume, path: readonly string[], match: NameMatch): Found {
  return walk({ volume, match, budget: new Budget() }, volume.root, path.toReversed(), 0);
}

/**
 * Finds what a link in a folder leads to; the links of one listing share the budget of their search.
 * @returns undefined when it is broken
 * @throws ServiceError BROKEN_ISO as `lookup` does, or when the budget is spent
 */
export function followLink(search: Search, folder: IsoFolder, { target }: IsoLink): Found {
  const start = target.startsWith('/') ? search.volume.root : folder;
  return walk(search, start, target.split('/').reverse(), 1);
}
