import { ServiceError } from '../errors.js';
import { Budget } from './budget.js';
import { Turns } from '../turns.js';

/** What the entries of a folder claim. */
export interface Claims {
  readonly folders: readonly ClaimingFolder[];
  /** The highest byte of the .iso, entries included that are not served. */
  readonly end: number;
}

/** A folder that is asked how far its volume goes. */
export interface ClaimingFolder {
  /** Tells it from all others. */
  readonly offset: number;
  /** Reads it, whether it is kept or not. */
  claims(budget: Budget): Promise<Claims>;
}

/** A broken folder says nothing about where the volume ends; neither does the rest of a tree without end. */
async function tryFolder(folder: ClaimingFolder, budget: Budget): Promise<Claims | undefined> {
  try {
    return await folder.claims(budget);
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'BROKEN_ISO') return undefined;
    throw error;
  }
}

/** The highest byte that anything in the tree claims. Reads every folder once, within the bounds of one `Budget`. */
async function highestEnd(root: ClaimingFolder, budget: Budget): Promise<number> {
  const seen = new Set([root.offset]);
  const waiting = [root];
  const turns = new Turns();
  let end = 0;
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    if (turns.isDue) await turns.take();
    const claims = await tryFolder(folder, budget);
    // Every other folder would be refused too.
    if (budget.isSpent) break;
    if (claims === undefined) continue;
    end = Math.max(end, claims.end);
    for (const next of claims.folders) {
      if (seen.has(next.offset)) continue;
      seen.add(next.offset);
      waiting.push(next);
    }
  }
  return end;
}

/**
 * Refuses an .iso that ends before its files do. A volume size beyond the end is no proof: writers count padding that
 * copying has lost. So then the tree decides.
 * @param root has its own bytes inside the .iso
 * @param bytes of the .iso
 * @param volumeBytes what the volume's descriptors claim
 * @throws ServiceError TRUNCATED
 */
export async function refuseTruncated(
  root: ClaimingFolder,
  bytes: number,
  volumeBytes: number,
  budget = new Budget(),
): Promise<void> {
  if (volumeBytes <= bytes) return;
  const end = await highestEnd(root, budget);
  if (end <= bytes) return;
  throw new ServiceError('TRUNCATED', `The ISO is truncated: it has ${bytes} bytes, its files need ${end} bytes`);
}
