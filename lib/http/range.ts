/** Bytes of a file, both ends included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** What a Range header asks for: the whole file, nothing that the file has (416), or these ranges in this order. */
export type RangeRequest =
  | { readonly kind: 'whole' }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'ranges'; readonly ranges: readonly ByteRange[] };

const whole: RangeRequest = { kind: 'whole' };
const unsatisfiable: RangeRequest = { kind: 'unsatisfiable' };

const maxRanges = 64;
// About what multipart/byteranges adds to a part, and what it may add altogether.
const partOverhead = 256;
const freeOverhead = 4096;

/** One range-spec (RFC 9110 14.1.1): its bytes, undefined when the file has none of them, `invalid` on bad syntax. */
function parseSpec(spec: string, size: number): ByteRange | undefined | 'invalid' {
  const match = /^(\d*)-(\d*)$/.exec(spec);
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return 'invalid';
  // BigInt: a position has any number of digits, and a float would round it.
  const length = BigInt(size);
  if (first === '') {
    const suffix = BigInt(last);
    if (suffix === 0n) return undefined;
    return { start: suffix < length ? Number(length - suffix) : 0, end: size - 1 };
  }
  const start = BigInt(first);
  const end = last === '' ? length : BigInt(last);
  if (last !== '' && start > end) return 'invalid';
  if (start >= length) return undefined;
  return { start: Number(start), end: end < length ? Number(end) : size - 1 };
}

/** Whether the answer in parts would be more than the file itself: a small request must not cost a large answer. */
function isAmplified(ranges: readonly ByteRange[], size: number): boolean {
  const sum = ranges.reduce((bytes, range) => bytes + range.end - range.start + 1, 0);
  return ranges.length > maxRanges || sum > size || sum + ranges.length * partOverhead > size + freeOverhead;
}

/**
 * Reads a Range header (RFC 9110 14.2). Another unit than bytes, an empty file, or ranges that come to more than the
 * file are answered with the whole; bad syntax after `bytes=` is unsatisfiable, as nginx and Go have it.
 * @param size bytes of the file
 */
export function parseRange(header: string | undefined, size: number): RangeRequest {
  const set = /^bytes=(.*)$/i.exec(header ?? '')?.[1];
  if (set === undefined || size === 0) return whole;
  // Empty list elements are to be skipped: RFC 9110 5.6.1.2.
  const specs = set.split(',').map((spec) => spec.trim());
  const parsed = specs.filter((spec) => spec !== '').map((spec) => parseSpec(spec, size));
  if (parsed.includes('invalid')) return unsatisfiable;
  const ranges = parsed.filter((range) => range !== undefined && range !== 'invalid');
  if (ranges.length === 0) return unsatisfiable;
  return isAmplified(ranges, size) ? whole : { kind: 'ranges', ranges };
}
