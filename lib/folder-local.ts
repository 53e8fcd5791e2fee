import { dirname } from 'node:path';
import { isLocal } from './local.js';

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
    return isLocal(folder);
  }
}
