import { ServiceError } from '../../errors.js';
import type { Budget } from '../budget.js';
import type { Extent } from '../entries.js';
import { openMetadata } from './metadata.js';
import type { PartitionDescriptor, Sequence } from './sequence.js';
import type { Disc, Partition, Space } from './space.js';
import { readSparingMap, readSparingTable, SparablePartition } from './sparing.js';

/** Bytes of a logical volume descriptor before its partition maps (ECMA-167 3/10.6). */
const headerBytes = 440;

/** Bytes of partition maps of type 1 and 2 (ECMA-167 3/10.7). */
const mapBytes = { plain: 6, special: 64 } as const;

/** Partition maps of one volume: OSTA UDF needs 2, and each may name a sparing table of its own. */
const maxMaps = 4;

/** Identifiers of the partition maps of type 2 (OSTA UDF 2.2.8 to 2.2.10). */
const identifiers = {
  virtual: '*UDF Virtual Partition',
  sparable: '*UDF Sparable Partition',
  metadata: '*UDF Metadata Partition',
} as const;

/** A partition that is one run of sectors (ECMA-167 3/10.7.2). */
class PlainPartition implements Partition {
  readonly blocks: number;

  constructor(
    private readonly descriptor: PartitionDescriptor,
    private readonly blockSize: number,
  ) {
    this.blocks = descriptor.blocks;
  }

  locate(block: number, length: number): Extent[] {
    return [{ offset: (this.descriptor.start + block) * this.blockSize, length }];
  }
}

function broken(what: string): ServiceError {
  return new ServiceError('BROKEN_ISO', `The UDF volume cannot be read: ${what}`);
}

/** The partition maps of a logical volume, as bytes. */
function splitMaps(logical: Buffer): Buffer[] {
  const end = headerBytes + logical.readUInt32LE(264);
  const count = logical.readUInt32LE(268);
  if (count > maxMaps) {
    const counts = `${count} partition maps; volumes with up to ${maxMaps} are read`;
    throw new ServiceError('UNSUPPORTED_ISO', `The UDF volume has ${counts}`);
  }
  const maps: Buffer[] = [];
  for (let at = headerBytes; maps.length < count; at += maps.at(-1)?.length ?? 0) {
    const length = at + 2 <= Math.min(end, logical.length) ? logical.readUInt8(at + 1) : 0;
    if (length < mapBytes.plain || at + length > Math.min(end, logical.length))
      throw broken('its partition maps are broken');
    maps.push(logical.subarray(at, at + length));
  }
  return maps;
}

/** The identifier of a partition map of type 2: that of an entity (ECMA-167 1/7.4). */
function identifierOf(map: Buffer): string {
  return map.toString('latin1', 5, 28).replace(/\0.*$/s, '');
}

/** Opens the partitions of one logical volume, map by map. */
class PartitionMaps {
  readonly #partitions: Partition[] = [];

  constructor(
    private readonly disc: Disc,
    private readonly descriptors: Sequence['partitions'],
    private readonly budget: Budget,
  ) {}

  async open(maps: readonly Buffer[]): Promise<Space> {
    for (const map of maps) this.#partitions.push(await this.#openMap(map, maps));
    return this.#space;
  }

  get #space(): Space {
    return { ...this.disc, partitions: this.#partitions };
  }

  #descriptor(number: number): PartitionDescriptor {
    const descriptor = this.descriptors.get(number);
    if (descriptor === undefined) throw broken(`partition ${number} has no descriptor`);
    return descriptor;
  }

  #openMap(map: Buffer, maps: readonly Buffer[]): Partition | Promise<Partition> {
    const [type, length] = [map[0], map.length];
    if (type === 1 && length === mapBytes.plain) {
      return new PlainPartition(this.#descriptor(map.readUInt16LE(4)), this.disc.blockSize);
    }
    if (type !== 2 || length !== mapBytes.special) throw broken('it has partitions of an unknown type');
    const descriptor = this.#descriptor(map.readUInt16LE(38));
    switch (identifierOf(map)) {
      case identifiers.sparable:
        return this.#openSparable(map, descriptor);
      case identifiers.metadata:
        return this.#openMetadata(map, maps);
      case identifiers.virtual:
        throw new ServiceError(
          'UNSUPPORTED_ISO',
          'The UDF volume has a virtual partition (VAT), as on discs written in parts, which is not read',
        );
      default:
        throw new ServiceError('UNSUPPORTED_ISO', 'The UDF volume has partitions of a kind that is not read');
    }
  }

  async #openSparable(map: Buffer, { start, blocks }: PartitionDescriptor): Promise<Partition> {
    const sparing = readSparingMap(map);
    if (sparing === undefined) throw broken('its sparable partition is broken');
    const spared = await readSparingTable(this.disc, sparing, start, this.budget);
    return new SparablePartition(start, blocks, this.disc.blockSize, spared);
  }

  /** Its files lie in the partition of the same number that was mapped before. */
  async #openMetadata(map: Buffer, maps: readonly Buffer[]): Promise<Partition> {
    const number = map.readUInt16LE(38);
    const below = this.#partitions.findIndex((_, index) => {
      const other = maps[index];
      return other?.readUInt16LE(other.length === mapBytes.plain ? 4 : 38) === number;
    });
    if (below < 0) throw broken('its metadata partition lies in none');
    const blocks = [map.readUInt32LE(40), map.readUInt32LE(44)];
    const partition = await openMetadata(this.#space, below, blocks, this.budget);
    if (partition === undefined) throw broken('its metadata file and the mirror of it are broken');
    return partition;
  }
}

/**
 * Opens the partitions of a logical volume.
 * @param logical its descriptor
 * @param descriptors those of the partitions, by number
 * @throws ServiceError BROKEN_ISO, UNSUPPORTED_ISO (a virtual partition, one of an unknown kind, or too many of them)
 */
export async function openPartitions(
  disc: Disc,
  logical: Buffer,
  descriptors: Sequence['partitions'],
  budget: Budget,
): Promise<Space> {
  return await new PartitionMaps(disc, descriptors, budget).open(splitMaps(logical));
}
