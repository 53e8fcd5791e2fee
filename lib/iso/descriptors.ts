import { createHash } from 'node:crypto';
import { type Extent, type ReadAt, sectorBytes } from './entries.js';
import { recordTime } from './times.js';

/** The system area before the descriptors, in sectors (ECMA-119 6.2.1), and how far Linux looks for them behind it. */
const firstSector = 16;
const sectorCount = 100;

const descriptorTypes = { boot: 0, primary: 1, supplementary: 2, terminator: 255 } as const;

/** Identifiers of a volume recognition sequence (ECMA-167 2/9). */
const recognitionIdentifiers = new Set(['CD001', 'BEA01', 'NSR02', 'NSR03', 'TEA01', 'BOOT2', 'CDW02']);

/** A primary or supplementary volume descriptor (ECMA-119 8.4, 8.5). */
export interface VolumeDescriptor {
  /** The volume identifier, 32 bytes. */
  readonly label: Buffer;
  /** Logical blocks of the volume. */
  readonly blocks: number;
  /** Bytes of a logical block. */
  readonly blockSize: number;
  /** The root folder: its logical block, and its bytes. */
  readonly rootBlock: number;
  readonly rootLength: number;
  /** Milliseconds since 1970. */
  readonly rootModified: number | undefined;
}

export interface Descriptors {
  readonly primary: VolumeDescriptor | undefined;
  /** The supplementary descriptor of Joliet, level 1, 2 or 3. */
  readonly joliet: VolumeDescriptor | undefined;
  /** Firmware can boot the disc (El Torito 2.0, "Booting Record Volume Descriptor"). */
  readonly isBootable: boolean;
  /** The volume recognition sequence names UDF. */
  readonly hasUdf: boolean;
  /** SHA-256, in hex, of the descriptors and the size of the .iso. */
  readonly identity: string;
}

function readDescriptor(sector: Buffer): VolumeDescriptor {
  return {
    label: sector.subarray(40, 72),
    blocks: sector.readUInt32LE(80),
    blockSize: sector.readUInt16LE(128),
    rootBlock: sector.readUInt32LE(156 + 2) + sector.readUInt8(156 + 1),
    rootLength: sector.readUInt32LE(156 + 10),
    rootModified: recordTime(sector, 156 + 18),
  };
}

/** The escape sequences of UCS-2 levels 1, 2 and 3 (Joliet, "SVD Escape Sequences field"). */
function isJoliet(sector: Buffer): boolean {
  return ['%/@', '%/C', '%/E'].includes(sector.toString('latin1', 88, 91));
}

function isElTorito(sector: Buffer): boolean {
  return sector[0] === descriptorTypes.boot && sector.toString('latin1', 7, 30) === 'EL TORITO SPECIFICATION';
}

/** The sectors with volume descriptors, as far as Linux reads them: to the terminator or the first one of Joliet. */
function selectDescriptors(sectors: readonly Buffer[]): Buffer[] {
  const selected: Buffer[] = [];
  for (const sector of sectors) {
    if (sector.toString('latin1', 1, 6) !== 'CD001') continue;
    selected.push(sector);
    const type = sector[0];
    if (type === descriptorTypes.terminator || (type === descriptorTypes.supplementary && isJoliet(sector))) break;
  }
  return selected;
}

function isUdfSequence(sectors: readonly Buffer[]): boolean {
  for (const sector of sectors) {
    const identifier = sector.toString('latin1', 1, 6);
    if (identifier === 'NSR02' || identifier === 'NSR03') return true;
    // An ISO may hold another ISO right behind its own descriptors: only the unbroken sequence counts.
    if (!recognitionIdentifiers.has(identifier)) return false;
  }
  return false;
}

/**
 * A sequence has one structure of 2048 bytes in a sector, or in several that are smaller (ECMA-167 2/8.3.1). In sectors
 * of 4096 bytes only UDF begins one.
 */
function namesUdf(sectors: readonly Buffer[]): boolean {
  if (isUdfSequence(sectors)) return true;
  const [first] = sectors;
  if (first?.toString('latin1', 1, 6) !== 'BEA01') return false;
  return isUdfSequence(sectors.filter((_, index) => index % 2 === 0));
}

/** Where descriptors are looked for; empty when the .iso is too short to have one. */
export function descriptorArea(bytes: number): Extent {
  const sectors = Math.min(Math.floor(bytes / sectorBytes) - firstSector, sectorCount);
  return { offset: firstSector * sectorBytes, length: Math.max(sectors, 0) * sectorBytes };
}

/**
 * Reads the volume descriptors (ECMA-119 6.7.1) and looks for UDF beside them (ECMA-167 2/8.3).
 * @param bytes of the .iso
 */
export async function readDescriptors(read: ReadAt, bytes: number): Promise<Descriptors> {
  const { offset, length } = descriptorArea(bytes);
  const area = length > 0 ? await read(offset, length) : Buffer.alloc(0);
  const sectors = Array.from({ length: length / sectorBytes }, (_, index) =>
    area.subarray(index * sectorBytes, (index + 1) * sectorBytes),
  );
  const selected = selectDescriptors(sectors);
  const primary = selected.find((sector) => sector[0] === descriptorTypes.primary);
  const joliet = selected.find((sector) => sector[0] === descriptorTypes.supplementary && isJoliet(sector));
  const hash = createHash('sha256').update(`${bytes}\n`);
  for (const sector of selected) hash.update(sector);
  return {
    primary: primary && readDescriptor(primary),
    joliet: joliet && readDescriptor(joliet),
    isBootable: selected.some(isElTorito),
    hasUdf: namesUdf(sectors),
    identity: hash.digest('hex'),
  };
}
