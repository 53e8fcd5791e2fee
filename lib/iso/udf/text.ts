import { withoutControls } from '../names.js';
import { crcOf } from './crc.js';

/** Bytes of the longest name that Linux shows, in UTF-8. */
const maxNameBytes = 254;

/** What stays behind the mark of an altered name: 4 characters at the most (OSTA UDF 4.2.2.1 has one more). */
const extensionAtEnd = /\.[^.]{1,4}$/;

/** Most names, in which nothing is altered. */
const usual = /^\w[\w.+-]{0,199}$/;

/** Characters that no name in Linux has, and halves of characters, which no URL can carry. */
const illegal = /[\0/\p{Surrogate}]+/gu;

/**
 * Text in OSTA CS0 (OSTA UDF 2.1.1): a byte that tells whether characters have 8 or 16 bits, then those.
 * @returns undefined when it is neither; 254 and 255 mark the names of deleted files
 */
export function decodeCs0(bytes: Buffer, from: number, to: number): string | undefined {
  const bits = from < to ? bytes[from] : undefined;
  if (bits === 8) return bytes.toString('latin1', from + 1, to);
  if (bits !== 16 || (to - from) % 2 === 0) return undefined;
  return Buffer.from(bytes.subarray(from + 1, to))
    .swap16()
    .toString('utf16le');
}

/** A text in a field of fixed length, whose last byte is its length (ECMA-167 1/7.2.12); empty when not valid. */
export function decodeField(bytes: Buffer, from: number, to: number): string {
  const length = bytes.readUInt8(to - 1);
  const text = length < to - from ? decodeCs0(bytes, from, from + length) : undefined;
  return withoutControls((text ?? '').replace(/\p{Surrogate}/gu, '')).trim();
}

/** The beginning of a text that has room in so many bytes of UTF-8. */
function cutText(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  let end = bytes;
  while (((encoded[end] ?? 0) & 0xc0) === 0x80) end--;
  return encoded.toString('utf8', 0, end);
}

/**
 * A file's name as Linux shows it: runs of what is illegal become `_`, and a name that is altered, longer than 254
 * bytes, or but for its extension a dot segment, gets a mark, with the CRC of what is stored (OSTA UDF 4.2.2.1).
 * @returns undefined when it is no text in CS0
 */
export function decodeName(bytes: Buffer, from: number, to: number): string | undefined {
  const stored = decodeCs0(bytes, from, to);
  if (stored === undefined || usual.test(stored)) return stored;
  const [storedExtension = ''] = extensionAtEnd.exec(stored) ?? [];
  const base = stored.slice(0, stored.length - storedExtension.length).replace(illegal, '_');
  const extension = storedExtension.replace(illegal, '_');
  const name = base + extension;
  if (name === stored && base !== '.' && base !== '..' && Buffer.byteLength(name) <= maxNameBytes) return name;
  const crc = crcOf(bytes, from + 1, to)
    .toString(16)
    .toUpperCase()
    .padStart(4, '0');
  const end = `#${crc}${extension}`;
  return cutText(base, maxNameBytes - Buffer.byteLength(end)) + end;
}
