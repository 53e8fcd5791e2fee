import { type DirectoryRecord, recordFlags } from './record.js';
import type { Attributes } from './rockridge.js';

type Kind = 'file' | 'folder' | 'link' | 'device';

/** File types of PX (RRIP 4.1.1). */
const kinds: ReadonlyMap<number, Kind> = new Map([
  [0o100000, 'file'],
  [0o040000, 'folder'],
  [0o120000, 'link'],
  [0o010000, 'device'],
  [0o020000, 'device'],
  [0o060000, 'device'],
  [0o140000, 'device'],
]);

/** As in Linux, the record tells what is a folder, and Rock Ridge what the others are. */
export function kindOf(record: DirectoryRecord, attributes: Attributes): Kind {
  if (attributes.relocatedTo !== undefined || (record.flags & recordFlags.directory) !== 0) return 'folder';
  return kinds.get((attributes.mode ?? 0) & 0o170000) ?? (attributes.hasTarget ? 'link' : 'file');
}
