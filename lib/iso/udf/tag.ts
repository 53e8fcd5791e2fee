import { crcOf } from './crc.js';

/** Bytes of a descriptor tag, with which every structure of UDF begins. */
export const tagBytes = 16;

/** Tag identifiers (ECMA-167 3/7.2.1, 4/7.2.1); 0 is that of a sparing table (OSTA UDF 2.2.12). */
export const tags = {
  sparingTable: 0,
  primaryVolume: 1,
  anchor: 2,
  volumePointer: 3,
  partition: 5,
  logicalVolume: 6,
  terminator: 8,
  fileSet: 256,
  fileIdentifier: 257,
  allocationExtent: 258,
  fileEntry: 261,
  extendedFileEntry: 266,
} as const;

function hasChecksum(bytes: Buffer, at: number): boolean {
  let sum = 0;
  for (let index = 0; index < tagBytes; index++) {
    if (index !== 4) sum += bytes.readUInt8(at + index);
  }
  return (sum & 0xff) === bytes[at + 4];
}

/** Whether a tag with this identifier is there, by its own checksum and version alone. */
export function hasTag(bytes: Buffer, at: number, identifier: number): boolean {
  if (at + tagBytes > bytes.length || bytes.readUInt16LE(at) !== identifier) return false;
  const version = bytes.readUInt16LE(at + 2);
  return (version === 2 || version === 3) && hasChecksum(bytes, at);
}

/**
 * The identifier of the descriptor that a block begins with; undefined unless checksum, version, location and CRC of
 * its tag are right (ECMA-167 3/7.2). As in Linux, a CRC over more than the block is not looked at.
 * @param location the block's number, in its partition or on the disc
 */
export function readTag(block: Buffer, location: number): number | undefined {
  if (block.length < tagBytes) return undefined;
  const identifier = block.readUInt16LE(0);
  if (!hasTag(block, 0, identifier) || block.readUInt32LE(12) !== location) return undefined;
  const end = tagBytes + block.readUInt16LE(10);
  return end > block.length || crcOf(block, tagBytes, end) === block.readUInt16LE(8) ? identifier : undefined;
}
