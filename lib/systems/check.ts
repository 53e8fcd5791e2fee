import { messageOf, ServiceError } from '../errors.js';
import { parseNamedPath } from '../path.js';
import type { FileNode, Node, Tree } from '../tree.js';
import { contentOf, startOf } from '../tree-content.js';
import { findingsOfNames } from './check-names.js';
import type { Finding } from './finding.js';
import { namedByBootConfig, namedByPackages, namedByRepomd, namedByTreeinfo } from './named-files.js';
import type { Boot } from './system.js';

export interface CheckReport {
  /** The first of them; `found` says how many there are. */
  readonly findings: readonly Finding[];
  readonly found: number;
  /** Entries that were looked through, and names that were looked up. */
  readonly entries: number;
  readonly names: number;
  /** Whether all of the image was looked through. */
  readonly isComplete: boolean;
}

/** An image that is to be checked. */
export interface Checked {
  readonly tree: Tree;
  readonly boot: readonly Boot[];
  /** Which of the disc's trees is shown. */
  readonly view: string;
}

/** What one check may cost. */
export interface CheckLimits {
  /** Findings that are told. */
  readonly findings: number;
  /** Entries that are looked through, and names that are looked up: a disc of packages has some ten thousand. */
  readonly entries: number;
  readonly names: number;
  /** Bytes of a list of packages once it is decompressed: that of all of Debian has 60 million. */
  readonly packagesBytes: number;
}

const usualLimits: CheckLimits = { findings: 1000, entries: 300_000, names: 300_000, packagesBytes: 2 ** 28 };

/** Bytes of a list that is read whole. */
const maxListBytes = 4 * 1024 * 1024;

/** Lists of files, by their names and places. */
const lists = {
  treeinfo: /^\.treeinfo$/i,
  repomd: /(?:^|\/)repodata\/repomd\.xml$/i,
  bootConfig: /^(?:efi\/boot\/)?boot\.cfg$/i,
  packages: /(?:^|\/)dists\/.*\/Packages(?:\.gz)?$/i,
};

/** A check under way. */
class Check {
  readonly findings: Finding[] = [];
  found = 0;
  entries = 0;
  names = 0;
  isComplete = true;

  constructor(
    private readonly image: Checked,
    private readonly signal: AbortSignal,
    private readonly limits: CheckLimits,
  ) {}

  /** @throws ServiceError TIMEOUT when nobody wants the outcome any more */
  async run(): Promise<void> {
    for (const { kernel, initrd = [], files = [] } of this.image.boot) {
      for (const path of [...(kernel === undefined || kernel.startsWith('/') ? [] : [kernel]), ...initrd, ...files])
        await this.#expect(path, 'the boot of the image');
    }
    const waiting = [''];
    for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
      waiting.push(...(await this.#checkFolder(folder)));
    }
  }

  /** @returns the folders in it */
  async #checkFolder(folder: string): Promise<string[]> {
    this.#stopIfLeft();
    const node = await this.#lookup(folder);
    if (node?.type !== 'folder' || !this.isComplete) return [];
    const entries = await node.list();
    this.entries += entries.length;
    if (this.entries > this.limits.entries) this.isComplete = false;
    for (const finding of findingsOfNames(folder, entries, this.image.view)) this.#report(finding);
    const pathOf = (name: string) => (folder === '' ? name : `${folder}/${name}`);
    for (const { name, type } of entries) if (type === 'file') await this.#checkList(pathOf(name));
    // A link leads to what is elsewhere in the image, or back.
    return entries.filter(({ type, link }) => type === 'folder' && link === undefined).map(({ name }) => pathOf(name));
  }

  /** Looks up what a file names, if it is a list of files. */
  async #checkList(path: string): Promise<void> {
    const kind = Object.entries(lists).find(([, pattern]) => pattern.test(path))?.[0];
    if (kind === undefined) return;
    const node = await this.#lookup(path);
    if (node?.type !== 'file') return;
    try {
      for await (const named of namesIn(kind, path, node, this.limits.packagesBytes)) {
        await this.#expect(named, path);
        if (!this.isComplete) break;
      }
    } catch (error) {
      this.#stopIfLeft();
      const message = `${path} cannot be read to its end: ${messageOf(error)}`;
      this.#report({ kind: 'unreadable', path, message });
    } finally {
      await node.file.close();
    }
  }

  async #expect(path: string, namedBy: string): Promise<void> {
    this.#stopIfLeft();
    this.names += 1;
    if (this.names > this.limits.names) this.isComplete = false;
    if (!this.isComplete) return;
    const node = await this.#lookup(path);
    if (node?.type === 'file') await node.file.close();
    if (node === undefined)
      this.#report({ kind: 'missing', path, namedBy, message: `${namedBy} names ${path}, which is not there` });
  }

  /** A path that leads out of the image, or through what cannot be read, leads nowhere. */
  async #lookup(path: string): Promise<Node | undefined> {
    try {
      return await this.image.tree.lookup(path === '' ? [] : parseNamedPath(path, 'The path'), 'any-case');
    } catch (error) {
      if (error instanceof ServiceError) return undefined;
      throw error;
    }
  }

  #report(finding: Finding): void {
    this.found += 1;
    if (this.findings.length < this.limits.findings) this.findings.push(finding);
  }

  #stopIfLeft(): void {
    if (this.signal.aborted) throw new ServiceError('TIMEOUT', 'The client closed the connection');
  }
}

async function* namesIn(kind: string, path: string, { file }: FileNode, limit: number): AsyncGenerator<string> {
  if (kind === 'packages') {
    yield* namedByPackages(contentOf(file), path, limit);
    return;
  }
  const text = (await startOf(file, maxListBytes)).toString();
  if (kind === 'treeinfo') yield* namedByTreeinfo(text);
  else if (kind === 'repomd') yield* namedByRepomd(text, path);
  else yield* namedByBootConfig(text);
}

/**
 * Says what a machine would miss that boots from an image, before it does: what the image's own lists name and it lacks, and
 * names that are not what they were.
 * @param signal nobody wants the outcome any more
 * @throws ServiceError TIMEOUT then, and what the tree throws
 */
export async function check(image: Checked, signal: AbortSignal, limits = usualLimits): Promise<CheckReport> {
  const one = new Check(image, signal, limits);
  await one.run();
  const { findings, found, entries, names, isComplete } = one;
  return { findings, found, entries, names, isComplete };
}
