import { createHash } from 'node:crypto';
import { type ErrorCode, ServiceError } from '../../errors.js';
import { Budget } from '../budget.js';
import { FolderCache } from '../cache.js';
import type { Children, IsoFolder, ReadAt } from '../entries.js';
import { refuseTruncated } from '../truncation.js';
import { describe, type FolderData } from './entry.js';
import { UdfFolder } from './folder.js';
import { type Icb, readIcb } from './icb.js';
import { openPartitions } from './partitions.js';
import { type Anchor, findAnchors, readSequence, type Sequence } from './sequence.js';
import { type Address, locateBlock, readBlock, type Space } from './space.js';
import { readTag, tags } from './tag.js';
import { decodeField } from './text.js';

/** An open UDF volume. */
export interface UdfVolume {
  /** The identifier of the logical volume, or else of the primary one, trimmed. */
  readonly label: string;
  /** SHA-256, in hex, of the descriptors that identify the volume and the size of the .iso. */
  readonly identity: string;
  /** Bytes of the .iso up to the end of its partitions, as their descriptors say. */
  readonly bytes: number;
  readonly root: IsoFolder;
}

function unreadable(what: string): ServiceError {
  return new ServiceError('BROKEN_ISO', `The UDF volume cannot be read: ${what}`);
}

/** Errors of what was tried, behind which something else may be better. */
const failures: ReadonlySet<ErrorCode> = new Set(['BROKEN_ISO', 'UNSUPPORTED_ISO', 'TRUNCATED']);

/** OSTA UDF 2.2.4.2: a logical block is a sector. */
function requireBlockSize(logical: Buffer, blockSize: number): void {
  const recorded = logical.readUInt32LE(212);
  if (recorded === blockSize) return;
  const sizes = `logical blocks of ${recorded} bytes in sectors of ${blockSize}`;
  throw new ServiceError('UNSUPPORTED_ISO', `The UDF volume has ${sizes}; both must be the same`);
}

/** The block that a long allocation descriptor names (ECMA-167 4/14.14.2). */
function addressAt(bytes: Buffer, at: number): Address {
  return { block: bytes.readUInt32LE(at + 4), partition: bytes.readUInt16LE(at + 8) };
}

/** Reads the file set descriptor (ECMA-167 4/14.1) that a logical volume descriptor names. */
async function readFileSet(space: Space, logical: Buffer): Promise<Buffer> {
  const address = addressAt(logical, 248);
  const block = await readBlock(space, address);
  if (block !== undefined && readTag(block, address.block) === tags.fileSet) return block;
  throw unreadable('its file set descriptor is missing or broken');
}

/** What no medium has that is read like a file: those that are written once, in parts. */
function refuseUnknown(icb: Icb | undefined): void {
  const refuse = (what: string) =>
    new ServiceError('UNSUPPORTED_ISO', `The UDF volume has ${what}, which are not read`);
  if (icb?.strategy === 4096) throw refuse('file entries of ICB strategy 4096, as on discs that are written once');
  if (icb?.form === 'extended') throw refuse('extended allocation descriptors');
}

async function readRoot(space: Space, fileSet: Buffer, budget: Budget): Promise<FolderData> {
  const address = addressAt(fileSet, 400);
  const block = await readBlock(space, address);
  const offset = locateBlock(space, address);
  if (block !== undefined && offset !== undefined) {
    refuseUnknown(readIcb(block, address.block));
    const { entry } = await describe(space, block, offset, address, budget);
    if (entry?.type === 'folder') return entry;
  }
  throw unreadable('its root folder is missing or broken');
}

function endOf({ partitions }: Sequence, blockSize: number): number {
  const ends = Array.from(partitions.values(), ({ start, blocks }) => (start + blocks) * blockSize);
  return ends.reduce((highest, end) => Math.max(highest, end), 0);
}

interface Opened extends UdfVolume {
  readonly root: UdfFolder;
}

/** Tries what may lead to a volume until one does, with one budget for all. */
class Attempts {
  readonly #budget: Budget;
  #failure: ServiceError | undefined;

  constructor(
    private readonly read: ReadAt,
    private readonly bytes: number,
    private readonly newBudget: () => Budget,
  ) {
    this.#budget = newBudget();
  }

  /** Why there is no volume: that of the first attempt, unless another one names what is not supported or missing. */
  get failure(): ServiceError {
    return this.#failure ?? unreadable('it has no anchor');
  }

  /** @returns undefined when neither of the anchor's sequences leads to a volume */
  async open({ blockSize, sequences }: Anchor): Promise<Opened | undefined> {
    for (const place of sequences) {
      try {
        return await this.#openSequence(await readSequence(this.read, this.bytes, blockSize, place), blockSize);
      } catch (error) {
        this.#note(error);
      }
    }
    return undefined;
  }

  #note(error: unknown): void {
    if (!(error instanceof ServiceError) || !failures.has(error.code)) throw error;
    const isFirst = this.#failure === undefined;
    const saysMore = this.#failure?.code === 'BROKEN_ISO' && error.code !== 'BROKEN_ISO';
    if (isFirst || saysMore) this.#failure = error;
  }

  async #openSequence(sequence: Sequence, blockSize: number): Promise<Opened> {
    const end = endOf(sequence, blockSize);
    try {
      return await this.#follow(sequence, blockSize, end);
    } catch (error) {
      if (end <= this.bytes || !(error instanceof ServiceError) || error.code !== 'BROKEN_ISO') throw error;
      const sizes = `it has ${this.bytes} bytes, its UDF volume ${end} bytes`;
      throw new ServiceError('TRUNCATED', `The ISO is truncated: ${sizes}`, { cause: error });
    }
  }

  async #follow({ primary, logical, partitions, digest }: Sequence, blockSize: number, end: number): Promise<Opened> {
    if (logical === undefined) throw unreadable('its logical volume descriptor is missing or broken');
    requireBlockSize(logical, blockSize);
    const disc = { read: this.read, bytes: this.bytes, blockSize };
    const space = await openPartitions(disc, logical, partitions, this.#budget);
    const fileSet = await readFileSet(space, logical);
    const data = await readRoot(space, fileSet, this.#budget);
    const kept = { ...space, newBudget: this.newBudget, cache: new FolderCache<Children>() };
    const hash = createHash('sha256').update(`${this.bytes}\n${digest}\n`).update(fileSet);
    return {
      label: decodeField(logical, 84, 212) || (primary === undefined ? '' : decodeField(primary, 24, 56)),
      identity: hash.digest('hex'),
      bytes: end,
      root: new UdfFolder(kept, undefined, '', data),
    };
  }
}

/**
 * Opens a UDF volume (ECMA-167, OSTA UDF 1.02 to 2.60) by the first anchor and volume descriptor sequence that lead to
 * one. Of the tree, only the root's file entry is read, unless the volume claims to be longer than the .iso.
 * @param read is asked for bytes inside the .iso only
 * @param bytes of the .iso
 * @param newBudget what one request may cost
 * @throws ServiceError UNSUPPORTED_ISO (a virtual partition, ICB strategy 4096), TRUNCATED, BROKEN_ISO
 */
export async function openUdf(read: ReadAt, bytes: number, newBudget = () => new Budget()): Promise<UdfVolume> {
  const attempts = new Attempts(read, bytes, newBudget);
  for await (const anchor of findAnchors(read, bytes)) {
    const volume = await attempts.open(anchor);
    if (volume === undefined) continue;
    await refuseTruncated(volume.root, bytes, volume.bytes, newBudget());
    return volume;
  }
  throw attempts.failure;
}
