import { ServiceError } from '../errors.js';
import type { IsoEntry, IsoFolder } from './entries.js';
import { type FolderContents, type Layout, readFolder } from './folder.js';
import { Budget } from './budget.js';

function folders(contents: FolderContents): IsoFolder[] {
  const isFolder = (entry: IsoEntry): entry is IsoFolder => entry.type === 'folder';
  return [...contents.children.values()].filter(isFolder);
}

/** A broken folder says nothing about where the volume ends; neither does the rest of a tree without end. */
async function tryFolder(layout: Layout, folder: IsoFolder, budget: Budget): Promise<FolderContents | undefined> {
  try {
    return await readFolder(layout, folder, budget);
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'BROKEN_ISO') return undefined;
    throw error;
  }
}

/** The highest byte that anything in the tree claims. Reads every folder once, within the bounds of one `Budget`. */
async function highestEnd(layout: Layout, root: IsoFolder): Promise<number> {
  const budget = new Budget();
  const seen = new Set([root.offset]);
  const waiting = [root];
  let end = root.offset + root.length;
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const contents = await tryFolder(layout, folder, budget);
    if (contents === undefined) continue;
    end = Math.max(end, contents.end);
    const fresh = folders(contents).filter(({ offset }) => !seen.has(offset));
    for (const { offset } of fresh) seen.add(offset);
    waiting.push(...fresh);
  }
  return end;
}

/**
 * Refuses an .iso that ends before its files do. A volume size beyond the end is no proof: writers count padding that
 * copying has lost. So then the tree decides.
 * @param volumeBytes what the volume descriptor claims
 * @throws ServiceError TRUNCATED
 */
export async function refuseTruncated(layout: Layout, root: IsoFolder, volumeBytes: number): Promise<void> {
  if (volumeBytes <= layout.bytes) return;
  const end = await highestEnd(layout, root);
  if (end <= layout.bytes) return;
  throw new ServiceError(
    'TRUNCATED',
    `The ISO is truncated: it has ${layout.bytes} bytes, its files need ${end} bytes`,
  );
}
