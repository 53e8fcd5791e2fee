import { type Extent, hole } from './entries.js';

function follows(last: Extent, next: Extent): boolean {
  return last.offset === hole ? next.offset === hole : last.offset + last.length === next.offset;
}

/** Adds an extent, unless it is empty; one that follows the last on the disc, or a hole behind a hole, becomes one with it. */
export function addExtent(extents: Extent[], next: Extent): void {
  const last = extents.at(-1);
  if (next.length === 0) return;
  if (last !== undefined && follows(last, next)) {
    extents[extents.length - 1] = { offset: last.offset, length: last.length + next.length };
  } else {
    extents.push(next);
  }
}

/** Joins extents that follow each other on the disc, and leaves out empty ones: most files become a single extent. */
export function mergeExtents(extents: readonly Extent[]): Extent[] {
  const merged: Extent[] = [];
  for (const extent of extents) addExtent(merged, extent);
  return merged;
}
