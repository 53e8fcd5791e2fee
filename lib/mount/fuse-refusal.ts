import { ServiceError } from '../errors.js';
import type { Budget } from '../iso/budget.js';
import type { IsoFolder } from '../iso/entries.js';
import type { View, ViewChoice, Volume } from '../iso/volume.js';
import { OpenIso } from './open-iso.js';
import type { MountSource } from './mount.js';

function unsupported(message: string): ServiceError {
  return new ServiceError('UNSUPPORTED_ISO', message);
}

/** Whether a choice of tree can be read. */
async function hasView(source: MountSource, view: ViewChoice): Promise<boolean> {
  try {
    await (await OpenIso.open({ ...source, view })).release();
    return true;
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'UNSUPPORTED_ISO') return false;
    throw error;
  }
}

/** fuseiso shows one tree, that which it finds best, and cannot be told another one. */
async function requireView(source: MountSource, view: View): Promise<void> {
  if (view === 'udf' || view === 'bridge') {
    throw unsupported(
      'The disc has a UDF tree, which fuseiso does not read: ask for a view of ISO 9660, or another driver',
    );
  }
  for (const better of ['rockridge', 'joliet'] as const) {
    if (view === better) return;
    if (await hasView(source, better)) {
      throw unsupported(`fuseiso shows the ${better} tree of this disc, and cannot show its ${view} tree`);
    }
  }
}

/** fuseiso takes each section of a file for a file of its own, and shows the first one's bytes only. */
async function requireSingleSections(root: IsoFolder, budget: Budget): Promise<void> {
  const waiting = [root];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    for (const [name, entry] of await folder.children(budget)) {
      if (entry.type === 'folder') waiting.push(entry);
      if (entry.type !== 'file' || entry.isSectioned !== true) continue;
      throw unsupported(`fuseiso cannot read files in several sections, such as ${JSON.stringify(name)}`);
    }
  }
}

/**
 * Refuses what fuseiso would serve wrongly or not at all, for it says nothing itself.
 * @param volume of the ISO at the source's path, as our reader reads it
 * @throws ServiceError UNSUPPORTED_ISO, and as `MountDriver.mount` does
 */
export async function requireReadable(source: MountSource, { view, root, newBudget }: Volume): Promise<void> {
  await requireView(source, view);
  await requireSingleSections(root, newBudget());
}
