import type { Children, IsoEntry, ReadAt } from './entries.js';

/** Bytes of the longest text that is taken for the usual notice. */
const maxNoticeBytes = 65_536;

/** Bytes that the descriptors, anchors and padding of a disc with both file systems take: about one million. */
const overheadBytes = 2 * 2 ** 20;

function isNotice(name: string, entry: IsoEntry): boolean {
  if (entry.type !== 'file' || !/^readme(\.[^.]*)?$/i.test(name)) return false;
  // Of a compressed file, the size does not bound what is stored.
  return entry.zisofs === undefined && entry.size <= maxNoticeBytes;
}

/**
 * Whether a disc that has UDF keeps its files there alone. Its ISO 9660 tree is then empty, or is one file `readme` or
 * `readme.*` that stands for all the rest: its text speaks of UDF, or the volume holds more than two million bytes that
 * belong to no file of the tree. Any other tree is the real one, and is shown where the UDF volume cannot be read.
 * @param root the children of the ISO 9660 root
 * @param bytes of the .iso
 */
export async function holdsOnlyUdf(root: Children, read: ReadAt, bytes: number): Promise<boolean> {
  const [first, second] = root;
  if (first === undefined) return true;
  const [name, entry] = first;
  if (second !== undefined || !isNotice(name, entry)) return false;
  const extent = entry.type === 'file' ? entry.extents[0] : undefined;
  const text = extent === undefined ? '' : (await read(extent.offset, extent.length)).toString('latin1');
  return /udf/i.test(text) || bytes - text.length > overheadBytes;
}
