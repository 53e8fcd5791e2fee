import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * File systems on disks and in memory of this machine, by the numbers of statfs(2). What is not here may ask another
 * machine or a program, which can take for ever.
 */
const localTypes: ReadonlySet<number> = new Set([
  ...[0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1], // ext2 to ext4, XFS, Btrfs, F2FS, ZFS
  ...[0x01021994, 0x858458f6, 0x794c7630], // tmpfs, ramfs, overlayfs
  ...[0x9660, 0x15013346, 0x73717368, 0x4d44, 0x2011bab0], // ISO 9660, UDF, SquashFS, FAT, exFAT
]);

/** Milliseconds after which a folder is looked at again: file systems come and go. */
const rememberedFor = 10_000;

/** Tells of folders whether all that a path to them goes through is of this machine. */
export class LocalFolders {
  #known = new Map<string, Promise<boolean>>();
  #since = 0;

  /** @param folder absolute path. Never rejects. */
  has(folder: string): Promise<boolean> {
    if (Date.now() - this.#since >= rememberedFor) {
      this.#known = new Map();
      this.#since = Date.now();
    }
    return this.#has(folder);
  }

  #has(folder: string): Promise<boolean> {
    const known = this.#known.get(folder);
    if (known !== undefined) return known;
    const found = this.#look(folder);
    this.#known.set(folder, found);
    return found;
  }

  async #look(folder: string): Promise<boolean> {
    const above = dirname(folder);
    if (above !== folder && !(await this.#has(above))) return false;
    // What cannot be looked at is not known to be local.
    return statfs(folder).then(
      ({ type }) => localTypes.has(type),
      () => false,
    );
  }
}
