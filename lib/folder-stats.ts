import type { BigIntStats } from 'node:fs';

const lastHttpSecond = 253402300799n; // 9999-12-31T23:59:59Z

/** The time of a file's last change, where it is one that HTTP has. */
export function modifiedOf(stats: BigIntStats): Date | undefined {
  const seconds = stats.mtimeNs / 1_000_000_000n;
  // Images built to be reproducible say second 0 or 1, which is no date; HTTP knows none after the year 9999.
  return seconds > 1n && seconds <= lastHttpSecond ? new Date(Number(stats.mtimeMs)) : undefined;
}

/**
 * The validator of a file without a known digest (RFC 9110 8.8.3): with ctime, which nobody can set back, as size and
 * mtime are what `cp -p` brings along; and with the inode, as two files can take one name within a tick of the clock.
 * So replicas differ, and a node that changes servers begins anew; the files of the stores have their SHA-256 instead.
 */
export function tagOf({ size, mtimeNs, ctimeNs, ino }: BigIntStats): string {
  return [size, mtimeNs, ctimeNs, ino].map((part) => part.toString(36)).join('-');
}
