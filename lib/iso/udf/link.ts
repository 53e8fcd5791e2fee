import { hasControls } from '../names.js';
import { decodeName } from './text.js';

/** Bytes of the longest link that is read. */
export const maxLinkBytes = 4096;

/** Bytes of a path component before its name (ECMA-167 4/14.16.1). */
const headerBytes = 4;

/** Types of a path component; 1 is a root that reader and writer have agreed on, without a name the usual one. */
const types = { agreedRoot: 1, root: 2, parent: 3, here: 4, name: 5 } as const;

/** @returns undefined for what is left out */
function segmentOf(type: number, data: Buffer, from: number, to: number): string | undefined {
  if (type === types.parent) return '..';
  if (type === types.here) return '.';
  return type === types.name ? decodeName(data, from, to) : undefined;
}

/** Where a symbolic link points, by its data (ECMA-167 4/8.7), as Linux shows it; undefined when it is broken. */
export function readTarget(data: Buffer): string | undefined {
  let segments: string[] = [];
  let at = 0;
  while (at + headerBytes <= data.length) {
    const type = data.readUInt8(at);
    const length = data.readUInt8(at + 1);
    const from = at + headerBytes;
    at = from + length;
    if (at > data.length) return undefined;
    // A root starts the path anew.
    if (type === types.root || (type === types.agreedRoot && length === 0)) segments = [''];
    const segment = segmentOf(type, data, from, at);
    if (segment !== undefined) segments.push(segment);
    else if (type === types.name) return undefined;
  }
  const target = segments.length === 1 && segments[0] === '' ? '/' : segments.join('/');
  return target === '' || hasControls(target) ? undefined : target;
}
