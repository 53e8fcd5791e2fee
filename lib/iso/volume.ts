import { ServiceError } from '../errors.js';
import { FolderCache } from './cache.js';
import { type Descriptors, readDescriptors, type VolumeDescriptor } from './descriptors.js';
import { type Children, type IsoFolder, type ReadAt, sectorBytes } from './entries.js';
import { maxFolderBytes, type Layout, readFolder } from './folder.js';
import { decodeText, decodeUtf16, findNul, withoutControls } from './names.js';
import { readRecords } from './record.js';
import { Declaration } from './rockridge.js';
import { Continuations, readFields } from './susp.js';
import { refuseTruncated } from './truncation.js';
import { holdsOnlyUdf } from './udf.js';
import { Budget } from './budget.js';

export type View = 'rockridge' | 'joliet' | 'iso9660';

/** An open ISO 9660 volume. */
export interface Volume {
  /** Which of the disc's trees is shown. */
  readonly view: View;
  /** The volume identifier, trimmed. */
  readonly label: string;
  /** Bytes of the volume as its descriptor says. */
  readonly bytes: number;
  /** SHA-256, in hex, of the volume descriptors and the size of the .iso. */
  readonly identity: string;
  readonly root: IsoFolder;
  /**
   * What a folder holds; read when first asked for, then kept for a while.
   * @param budget what the reading may cost
   * @throws ServiceError BROKEN_ISO when that is not enough
   */
  children(folder: IsoFolder, budget?: Budget): Promise<Children>;
}

const allowedBlockSizes = [512, 1024, 2048];

const onlyUdf = 'The ISO has only UDF, which is not read yet: an ISO 9660 tree with its files is needed';

/** Reads nothing outside of the .iso, whatever its structures say. */
function bounded(read: ReadAt, bytes: number): ReadAt {
  return async (offset, length) => {
    if (offset + length > bytes)
      throw new ServiceError('BROKEN_ISO', `The ISO points to byte ${offset + length} of ${bytes}`);
    const data = length === 0 ? Buffer.alloc(0) : await read(offset, length);
    if (data.length === length) return data;
    throw new ServiceError('TRUNCATED', `The ISO ends before byte ${offset + length}`);
  };
}

function rootOf(descriptor: VolumeDescriptor, blockSize: number): IsoFolder {
  const { rootBlock, rootLength: length, rootModified: modified } = descriptor;
  return { type: 'folder', offset: rootBlock * blockSize, length, modified, parent: undefined, depth: 0 };
}

interface RootDeclaration {
  /** Records in the root's first sector; 0 when it cannot be read. */
  readonly records: number;
  readonly declaration: Declaration;
}

/** Reads what the root's own record declares (SUSP 5.3), on CD-ROM XA discs behind the 14 bytes that XA takes. */
async function readDeclaration(layout: Layout, root: IsoFolder): Promise<RootDeclaration> {
  const declaration = new Declaration();
  if (root.offset + sectorBytes > layout.bytes) return { records: 0, declaration };
  const sector = await layout.read(root.offset, sectorBytes);
  const records = [...readRecords(sector)];
  const self = records[0];
  if (self?.isSelf !== true) return { records: 0, declaration };
  const continuations = new Continuations(layout.read, layout.bytes, layout.blockSize, new Budget());
  for (const skip of [0, 14]) {
    const next = readFields(sector, self.systemUse + skip, self.end, declaration);
    if (next !== undefined) await continuations.follow(next, declaration);
    if (declaration.skip !== undefined || declaration.isExtended) break;
  }
  return { records: records.length, declaration };
}

interface Choice {
  readonly view: View;
  readonly layout: Layout;
  readonly descriptor: VolumeDescriptor;
}

/**
 * Takes the tree that Linux shows: Rock Ridge before Joliet before plain names. An empty or unreadable Rock Ridge root
 * gives way to Joliet. Without Joliet, Rock Ridge fields count even where nothing declares them.
 */
async function chooseTree(
  primary: VolumeDescriptor,
  joliet: VolumeDescriptor | undefined,
  layout: Layout,
): Promise<Choice> {
  const { records, declaration } = await readDeclaration(layout, rootOf(primary, layout.blockSize));
  if (joliet !== undefined && !(declaration.isExtended && records > 2)) {
    return { view: 'joliet', layout: { ...layout, isJoliet: true, skip: undefined }, descriptor: joliet };
  }
  const { skip, isExtended } = declaration;
  const view = isExtended || skip !== undefined ? 'rockridge' : 'iso9660';
  return { view, layout: { ...layout, skip: skip ?? 0 }, descriptor: primary };
}

function requirePrimary({ primary, hasUdf }: Descriptors): VolumeDescriptor {
  if (primary !== undefined) return primary;
  if (hasUdf) throw new ServiceError('UNSUPPORTED_ISO', onlyUdf);
  throw new ServiceError('NOT_AN_ISO', 'The file is no ISO image: it has no primary volume descriptor of ISO 9660');
}

/** Like Linux, the primary descriptor's block size for both trees. */
function requireBlockSize({ blockSize }: VolumeDescriptor): number {
  if (allowedBlockSizes.includes(blockSize)) return blockSize;
  const allowed = allowedBlockSizes.join(', ');
  throw new ServiceError('UNSUPPORTED_ISO', `The ISO has logical blocks of ${blockSize} bytes; ${allowed} can be read`);
}

function requireRoot(root: IsoFolder, volumeBytes: number, bytes: number): void {
  const end = root.offset + root.length;
  if (end > bytes && volumeBytes > bytes) {
    throw new ServiceError('TRUNCATED', `The ISO is truncated: it has ${bytes} bytes, its root folder ends at ${end}`);
  }
  if (end > bytes || root.length === 0 || root.length > maxFolderBytes) {
    throw new ServiceError('BROKEN_ISO', `The root folder of the ISO cannot be right: bytes ${root.offset} to ${end}`);
  }
}

function labelOf({ label }: VolumeDescriptor, isJoliet: boolean): string {
  const text = isJoliet ? decodeUtf16(label) : decodeText(label, 0, findNul(label));
  return withoutControls(text).trim();
}

/**
 * Opens an ISO 9660 volume (ECMA-119 levels 1 to 3) with Rock Ridge (IEEE P1282) or Joliet. Of the tree, only the root
 * is read, unless the volume claims to be longer than the .iso.
 * @param read is asked for bytes inside the .iso only
 * @param bytes of the .iso
 * @throws ServiceError NOT_AN_ISO, UNSUPPORTED_ISO, TRUNCATED, BROKEN_ISO
 */
export async function openIso(read: ReadAt, bytes: number): Promise<Volume> {
  const safeRead = bounded(read, bytes);
  const descriptors = await readDescriptors(safeRead, bytes);
  const primary = requirePrimary(descriptors);
  const blockSize = requireBlockSize(primary);
  const plain = { read: safeRead, bytes, blockSize, skip: undefined, isJoliet: false };
  const { layout, descriptor, view } = await chooseTree(primary, descriptors.joliet, plain);
  const root = rootOf(descriptor, blockSize);
  const volumeBytes = descriptor.blocks * blockSize;
  requireRoot(root, volumeBytes, bytes);
  await refuseTruncated(layout, root, volumeBytes);
  const cache = new FolderCache(async (folder, budget) => (await readFolder(layout, folder, budget)).children);
  if (descriptors.hasUdf && (await holdsOnlyUdf(await cache.get(root), safeRead, bytes))) {
    throw new ServiceError('UNSUPPORTED_ISO', onlyUdf);
  }
  return {
    view,
    label: labelOf(descriptor, layout.isJoliet),
    bytes: volumeBytes,
    identity: descriptors.identity,
    root,
    children: (folder, budget) => cache.get(folder, budget),
  };
}
