import type { Folder } from '../iso/entries.js';

const maxShown = 3;

async function linesOf(root: Folder<{ readonly type: 'file' }>): Promise<Set<string>> {
  return new Set([...(await root.children())].map(([name, { type }]) => `the ${type} ${JSON.stringify(name)}`));
}

function listed(lines: readonly string[]): string {
  const more = lines.length - maxShown;
  return lines.slice(0, maxShown).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/**
 * Tells in words what a mount shows otherwise than our reader in the root of the same tree, by names and types; undefined
 * when nothing. A kernel without udf, say, shows a Windows disc as a single `readme.txt`.
 */
export async function rootDifference(
  expected: Folder<{ readonly type: 'file' }>,
  found: Folder<{ readonly type: 'file' }>,
): Promise<string | undefined> {
  const [ours, theirs] = [await linesOf(expected), await linesOf(found)];
  const missing = [...ours].filter((line) => !theirs.has(line));
  const extra = [...theirs].filter((line) => !ours.has(line));
  const differences = [
    missing.length > 0 ? `it lacks ${listed(missing)}` : '',
    extra.length > 0 ? `it shows ${listed(extra)}` : '',
  ].filter(Boolean);
  return differences.length === 0 ? undefined : differences.join('; ');
}
