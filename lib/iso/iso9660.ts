import { ServiceError } from '../errors.js';
import { FolderCache } from './cache.js';
import { type Descriptors, type VolumeDescriptor } from './descriptors.js';
import { type Children, sectorBytes } from './entries.js';
import { maxFolderBytes, type Layout, RecordFolder } from './folder.js';
import { decodeText, decodeUtf16, findNul, withoutControls } from './names.js';
import { readRecords } from './record.js';
import { Declaration } from './rockridge.js';
import type { VolumeSource } from './source.js';
import { Continuations, readFields } from './susp.js';
import { refuseTruncated } from './truncation.js';

/** The trees that an ISO 9660 volume can have. */
export const iso9660Views = ['rockridge', 'joliet', 'iso9660'] as const;
export type Iso9660View = (typeof iso9660Views)[number];

/** An open ISO 9660 volume. */
export interface Iso9660Volume {
  readonly view: Iso9660View;
  /** The volume identifier, trimmed. */
  readonly label: string;
  /** Bytes of the volume as its descriptor says. */
  readonly bytes: number;
  readonly root: RecordFolder;
}

const allowedBlockSizes = [512, 1024, 2048];

function rootOf(descriptor: VolumeDescriptor, layout: Layout): RecordFolder {
  const { rootBlock, rootLength, rootModified } = descriptor;
  const place = { offset: rootBlock * layout.blockSize, length: rootLength };
  return new RecordFolder(layout, undefined, '', place, rootModified);
}

/** Whether a root can be read: it has a length that we read, and lies in the .iso. */
function isInside({ offset, length }: RecordFolder, bytes: number): boolean {
  return length > 0 && length <= maxFolderBytes && offset + length <= bytes;
}

interface RootDeclaration {
  /** Records in the root's first sector; 0 when it cannot be read. */
  readonly records: number;
  readonly declaration: Declaration;
}

/** Reads what the root's own record declares (SUSP 5.3), on CD-ROM XA discs behind the 14 bytes that XA takes. */
async function readDeclaration(layout: Layout, root: RecordFolder): Promise<RootDeclaration> {
  const declaration = new Declaration();
  if (root.offset + sectorBytes > layout.bytes) return { records: 0, declaration };
  const sector = await layout.read(root.offset, sectorBytes);
  const records = [...readRecords(sector)];
  const self = records[0];
  if (self?.isSelf !== true) return { records: 0, declaration };
  const continuations = new Continuations(layout.read, layout.bytes, layout.blockSize, layout.newBudget());
  for (const skip of [0, 14]) {
    const next = readFields(sector, self.systemUse + skip, self.end, declaration);
    if (next !== undefined) await continuations.follow(next, declaration);
    if (declaration.skip !== undefined || declaration.isExtended) break;
  }
  return { records: records.length, declaration };
}

interface Choice {
  readonly view: Iso9660View;
  readonly layout: Layout;
  readonly descriptor: VolumeDescriptor;
}

/** The trees of a disc, by name; the one with plain names is always there. */
async function findTrees(primary: VolumeDescriptor, joliet: VolumeDescriptor | undefined, layout: Layout) {
  const { records, declaration } = await readDeclaration(layout, rootOf(primary, layout));
  const { skip, isExtended } = declaration;
  const trees = new Map<Iso9660View, Choice>();
  const add = (choice: Choice) => trees.set(choice.view, choice);
  if (isExtended || skip !== undefined) {
    add({ view: 'rockridge', layout: { ...layout, skip: skip ?? 0 }, descriptor: primary });
  }
  if (joliet !== undefined) add({ view: 'joliet', layout: { ...layout, isJoliet: true }, descriptor: joliet });
  add({ view: 'iso9660', layout, descriptor: primary });
  return { trees, isRockRidgeFirst: isExtended && records > 2 };
}

/**
 * Takes the tree that Linux shows: Rock Ridge before Joliet before plain names. An empty or unreadable Rock Ridge root
 * gives way to Joliet. Without Joliet, Rock Ridge fields count even where nothing declares them.
 */
async function chooseTree(
  primary: VolumeDescriptor,
  joliet: VolumeDescriptor | undefined,
  plain: Layout,
  view: Iso9660View | undefined,
): Promise<Choice> {
  const { trees, isRockRidgeFirst } = await findTrees(primary, joliet, plain);
  if (view === undefined) {
    const first = trees.get('rockridge');
    // One bad descriptor must not hide the tree of the good one.
    const second =
      joliet !== undefined && isInside(rootOf(joliet, plain), plain.bytes) ? trees.get('joliet') : undefined;
    const preferred = isRockRidgeFirst ? (first ?? second) : (second ?? first);
    return preferred ?? { view: 'iso9660', layout: { ...plain, skip: 0 }, descriptor: primary };
  }
  const chosen = trees.get(view);
  if (chosen !== undefined) return chosen;
  throw new ServiceError('UNSUPPORTED_ISO', `The ISO has no view "${view}"; it has ${[...trees.keys()].join(', ')}`);
}

/** Like Linux, the primary descriptor's block size for both trees. */
function requireBlockSize({ blockSize }: VolumeDescriptor): number {
  if (allowedBlockSizes.includes(blockSize)) return blockSize;
  const allowed = allowedBlockSizes.join(', ');
  throw new ServiceError('UNSUPPORTED_ISO', `The ISO has logical blocks of ${blockSize} bytes; ${allowed} can be read`);
}

function requireRoot(root: RecordFolder, volumeBytes: number, bytes: number): void {
  const end = root.offset + root.length;
  if (end > bytes && volumeBytes > bytes) {
    throw new ServiceError('TRUNCATED', `The ISO is truncated: it has ${bytes} bytes, its root folder ends at ${end}`);
  }
  if (!isInside(root, bytes)) {
    throw new ServiceError('BROKEN_ISO', `The root folder of the ISO cannot be right: bytes ${root.offset} to ${end}`);
  }
}

function labelOf({ label }: VolumeDescriptor, isJoliet: boolean): string {
  const text = isJoliet ? decodeUtf16(label) : decodeText(label, 0, findNul(label));
  return withoutControls(text).trim();
}

/**
 * Opens an ISO 9660 volume (ECMA-119 levels 1 to 3) with Rock Ridge (IEEE P1282) or Joliet. Of the tree, only the root's
 * first sector is read, unless the volume claims to be longer than the .iso.
 * @param view the tree to show; undefined for the one that Linux would
 * @throws ServiceError UNSUPPORTED_ISO, TRUNCATED, BROKEN_ISO
 */
export async function openIso9660(
  source: VolumeSource,
  { primary, joliet }: Descriptors & { readonly primary: VolumeDescriptor },
  view?: Iso9660View,
): Promise<Iso9660Volume> {
  const blockSize = requireBlockSize(primary);
  const plain = { ...source, blockSize, skip: undefined, isJoliet: false, cache: new FolderCache<Children>() };
  const choice = await chooseTree(primary, joliet, plain, view);
  const { layout, descriptor } = choice;
  const root = rootOf(descriptor, layout);
  const volumeBytes = descriptor.blocks * blockSize;
  requireRoot(root, volumeBytes, source.bytes);
  await refuseTruncated(root, source.bytes, volumeBytes, source.newBudget());
  return { view: choice.view, label: labelOf(descriptor, layout.isJoliet), bytes: volumeBytes, root };
}
