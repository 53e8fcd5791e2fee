import type { Stamp } from '../tree.js';

/** The SHA-256 of a file, and the stamp of the bytes that it is of. */
export type Digest = Readonly<Record<'sha256' | keyof Stamp, string>>;

/** What is known of a store's file beside what the disk tells. */
export interface KnownFile {
  readonly digest?: Digest;
  /** Where the link leads that the service has made under this name. */
  readonly link?: string;
}

export function digestFor(sha256: string, { size, mtimeNs, ctimeNs }: Stamp): Digest {
  return { sha256, size: String(size), mtimeNs: String(mtimeNs), ctimeNs: String(ctimeNs) };
}

/** What is known of the files of a store, by name. */
export class KnownFiles {
  readonly #files = new Map<string, KnownFile>();

  get all(): ReadonlyMap<string, KnownFile> {
    return this.#files;
  }

  get(name: string): KnownFile | undefined {
    return this.#files.get(name);
  }

  /** @param file undefined when nothing is known any more */
  set(name: string, file: KnownFile | undefined): void {
    if (file === undefined) this.#files.delete(name);
    else this.#files.set(name, file);
  }

  /** The SHA-256 of a file that came through this service and has not been written to since. */
  digestOf(name: string, stamp: Stamp): string | undefined {
    const known = this.#files.get(name)?.digest;
    if (known === undefined) return undefined;
    const { size, mtimeNs, ctimeNs } = digestFor(known.sha256, stamp);
    return known.size === size && known.mtimeNs === mtimeNs && known.ctimeNs === ctimeNs ? known.sha256 : undefined;
  }

  /** Whether a link that the service knows leads to the file. */
  leadsTo(path: string): boolean {
    return [...this.#files.values()].some(({ link }) => link === path);
  }
}
