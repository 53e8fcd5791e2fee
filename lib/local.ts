import { statfs } from 'node:fs/promises';

/**
 * File systems on disks and in memory of this machine, by the numbers of statfs(2). What is not here may ask another
 * machine or a program, which can take for ever.
 */
const localTypes: ReadonlySet<number> = new Set([
  ...[0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1], // ext2 to ext4, XFS, Btrfs, F2FS, ZFS
  ...[0x01021994, 0x858458f6, 0x794c7630], // tmpfs, ramfs, overlayfs
  ...[0x9660, 0x15013346, 0x73717368, 0x4d44, 0x2011bab0], // ISO 9660, UDF, SquashFS, FAT, exFAT
]);

/** Whether what is at a path is on a disk or in the memory of this machine; false where that cannot be told. */
export function isLocal(path: string): Promise<boolean> {
  return statfs(path).then(
    ({ type }) => localTypes.has(type),
    () => false,
  );
}
