import { Budget } from './budget.js';
import { type Folder, type IsoLink, pathIn } from './entries.js';
import { Turns } from '../turns.js';

/** Links followed in one lookup: what Linux allows. */
const maxLinks = 40;

/** How a name is compared with the names of a folder. */
export type NameMatch = 'exact' | 'any-case';

interface AnyFile {
  readonly type: 'file';
}

type Children<File> = ReadonlyMap<string, File | Folder<File> | IsoLink>;

const foldedNames = new WeakMap<object, Promise<ReadonlyMap<string, string>>>();

async function foldNames(children: Children<unknown>): Promise<ReadonlyMap<string, string>> {
  const turns = new Turns();
  const folded = new Map<string, string>();
  for (const name of children.keys()) {
    if (turns.isDue) await turns.take();
    const key = name.toLowerCase();
    const other = folded.get(key);
    if (other === undefined || name < other) folded.set(key, name);
  }
  return folded;
}

/** The names of a folder by their lower-case form. Of several, the first in code-unit order. */
function namesByFolded(children: Children<unknown>): Promise<ReadonlyMap<string, string>> {
  const known = foldedNames.get(children);
  if (known !== undefined) return known;
  const folded = foldNames(children);
  foldedNames.set(children, folded);
  return folded;
}

/** The name that a folder has for a name as it was asked for. */
async function storedName(children: Children<unknown>, name: string, match: NameMatch): Promise<string> {
  if (match === 'exact' || children.has(name)) return name;
  return (await namesByFolded(children)).get(name.toLowerCase()) ?? name;
}

/** Where to search, how, and what it may cost. */
export interface Search<File extends AnyFile> {
  readonly root: Folder<File>;
  readonly match: NameMatch;
  readonly budget: Budget;
}

/** What a path leads to, and the path that leads there without links and in the volume's own spelling. */
export interface Found<File extends AnyFile> {
  readonly entry: File | Folder<File>;
  readonly path: string;
}

/**
 * @param rest the segments to walk, the next one last
 * @param followed links that led here
 */
async function walk<File extends AnyFile>(
  { root, match, budget }: Search<File>,
  start: Folder<File>,
  rest: string[],
  followed: number,
): Promise<Found<File> | undefined> {
  const turns = new Turns();
  let here = start;
  let links = followed;
  for (let segment = rest.pop(); segment !== undefined; segment = rest.pop()) {
    // Dots too: forty links of two thousand dots each are long work.
    budget.spend(1);
    if (segment === '' || segment === '.') continue;
    if (segment === '..') {
      here = here.parent ?? root;
      continue;
    }
    const children = await here.children(budget);
    const name = await storedName(children, segment, match);
    const entry = children.get(name);
    if (entry?.type === 'folder') {
      here = entry;
    } else if (entry?.type === 'link') {
      if (++links > maxLinks) return undefined;
      if (turns.isDue) await turns.take();
      if (entry.target.startsWith('/')) here = root;
      rest.push(...entry.target.split('/').reverse());
    } else {
      return entry === undefined || rest.length > 0 ? undefined : { entry, path: pathIn(here, name) };
    }
  }
  return { entry: here, path: here.path };
}

/**
 * Finds what a path from the root leads to; links are followed inside the volume, at most 40 of them.
 * @returns undefined when it leads nowhere
 * @throws ServiceError BROKEN_ISO when a folder on the way is too much work to read
 */
export function lookup<File extends AnyFile>(
  root: Folder<File>,
  path: readonly string[],
  match: NameMatch,
  budget = new Budget(),
): Promise<Found<File> | undefined> {
  return walk({ root, match, budget }, root, path.toReversed(), 0);
}

/**
 * Finds what a link in a folder leads to; the links of one listing share the budget of their search.
 * @returns undefined when it is broken
 * @throws ServiceError BROKEN_ISO as `lookup` does, or when the budget is spent
 */
export function followLink<File extends AnyFile>(
  search: Search<File>,
  folder: Folder<File>,
  { target }: IsoLink,
): Promise<Found<File> | undefined> {
  const start = target.startsWith('/') ? search.root : folder;
  return walk(search, start, target.split('/').reverse(), 1);
}
