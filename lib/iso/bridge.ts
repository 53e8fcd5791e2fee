import type { Budget } from './budget.js';
import { FolderCache } from './cache.js';
import { type Children, type IsoEntry, type IsoFile, type IsoFolder, pathIn } from './entries.js';
import { type Pairs, pairFolder, readBoth } from './pairing.js';
import { Turns } from '../turns.js';

/** A file of Rock Ridge with the bytes that UDF says it has. */
function withBytesOf(file: IsoFile, { extents, size }: IsoFile): IsoFile {
  const isSame =
    extents.length === file.extents.length &&
    extents.every(({ offset, length }, index) => {
      const own = file.extents[index];
      return own?.offset === offset && own.length === length;
    });
  if (isSame) return file;
  // UDF knows of a compressed file only what is stored.
  return { ...file, extents, size: file.zisofs === undefined ? size : file.size };
}

/** Of a link, writers leave an empty file in UDF, some under a changed name. */
function isLinkStub(entry: IsoEntry): boolean {
  return entry.type === 'file' && entry.size === 0;
}

/** A folder of a disc that has one tree of files twice. */
class BridgeFolder implements IsoFolder {
  readonly type = 'folder';
  readonly path: string;

  /** @param udf the same folder in UDF; undefined where there is none */
  constructor(
    private readonly cache: FolderCache<Children>,
    readonly parent: BridgeFolder | undefined,
    name: string,
    private readonly rockRidge: IsoFolder,
    private readonly udf: IsoFolder | undefined,
  ) {
    this.path = parent === undefined ? name : pathIn(parent, name);
  }

  get modified(): number | undefined {
    return this.rockRidge.modified;
  }

  children(budget?: Budget): Promise<Children> {
    return this.cache.get(this, () => this.read(budget));
  }

  async read(budget?: Budget): Promise<Children> {
    const [own, others] = await readBoth(this.rockRidge, this.udf, budget);
    const pairs = await pairFolder(own, others, budget);
    const children = new Map<string, IsoEntry>();
    const turns = new Turns();
    for (const [name, entry] of own) {
      if (turns.isDue) await turns.take();
      children.set(name, this.#entryOf(name, entry, pairs));
    }
    // What was hidden from ISO 9660 alone is shown, as mount(8) shows it.
    for (const [name, entry] of pairs.unpaired) {
      if (turns.isDue) await turns.take();
      if (children.has(name) || isLinkStub(entry)) continue;
      children.set(name, entry.type === 'folder' ? new BridgeFolder(this.cache, this, name, entry, undefined) : entry);
    }
    return children;
  }

  #entryOf(name: string, entry: IsoEntry, pairs: Pairs): IsoEntry {
    if (entry.type === 'folder') return new BridgeFolder(this.cache, this, name, entry, pairs.folders.get(entry));
    const other = entry.type === 'file' ? pairs.files.get(name) : undefined;
    return entry.type === 'file' && other !== undefined ? withBytesOf(entry, other) : entry;
  }
}

/**
 * The tree of a bridge disc: names and links of Rock Ridge, which UDF writers change or lose; sizes and extents of UDF
 * where the two differ.
 * @param rockRidge the root in ISO 9660
 * @param udf the root in UDF
 * @param budget what the comparison may cost
 * @returns undefined when the two are not trees of the same files: when UDF has something in its root that Rock Ridge
 * has not
 */
export async function openBridge(rockRidge: IsoFolder, udf: IsoFolder, budget: Budget): Promise<IsoFolder | undefined> {
  const others = await udf.children(budget);
  const { unpaired } = await pairFolder(await rockRidge.children(budget), others, budget, false);
  if ([...unpaired.values()].some((entry) => !isLinkStub(entry))) return undefined;
  return new BridgeFolder(new FolderCache(), undefined, '', rockRidge, udf);
}
