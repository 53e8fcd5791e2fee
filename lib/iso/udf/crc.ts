/** CRC-16 of ITU-T V.41, polynomial x^16 + x^12 + x^5 + 1: what every single byte makes of 0. */
const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
  return crc & 0xffff;
});

/** The checksum of descriptors and of altered names (ECMA-167 1/7.2.6, OSTA UDF 6.5), of bytes `from` to `to`. */
export function crcOf(bytes: Uint8Array, from: number, to: number): number {
  let crc = 0;
  for (let at = from; at < to; at++) {
    crc = ((crc << 8) & 0xffff) ^ (table[(crc >> 8) ^ (bytes[at] ?? 0)] ?? 0);
  }
  return crc;
}
