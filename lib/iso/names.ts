import { isUtf8 } from 'node:buffer';

/**
 * The text of stored bytes: UTF-8, as every writer in use records it. What is no valid UTF-8 reads as ISO 8859-1, which
 * has a character for every byte: so the name stays reachable and no two such names become one.
 */
export function decodeText(bytes: Buffer, from = 0, to = bytes.length): string {
  const text = bytes.toString('utf8', from, to);
  return !text.includes('\ufffd') || isUtf8(bytes.subarray(from, to)) ? text : bytes.toString('latin1', from, to);
}

/** Where the first NUL is, or `to`: Linux ends every name there. */
export function findNul(bytes: Buffer, from = 0, to = bytes.length): number {
  let at = from;
  while (at < to && bytes[at] !== 0) at++;
  return at;
}

/**
 * The name of a file that has neither a Rock Ridge nor a Joliet name, as Linux shows it (`map=normal`): lower case,
 * without `;1`, other semicolons and slashes as dots (ECMA-119 7.5, 7.6).
 */
export function plainName(identifier: Buffer): string {
  return decodeText(identifier, 0, findNul(identifier))
    .replace(/\.?;1$/, '')
    .replace(/[;/]/g, '.')
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Text in UCS-2 or UTF-16, high byte first (Joliet). Lone surrogates go, as in Linux: no URL can carry them. */
export function decodeUtf16(bytes: Buffer): string {
  const units = Buffer.from(bytes.subarray(0, bytes.length & ~1)).swap16();
  const text = units.toString('utf16le');
  const nul = text.indexOf('\0');
  return (nul < 0 ? text : text.slice(0, nul)).replace(/\p{Surrogate}/gu, '');
}

/** A Joliet name as Linux shows it: without `;1`, then without the dots at its end. */
export function jolietName(identifier: Buffer): string {
  return decodeUtf16(identifier)
    .replace(/(?<=.);1$/u, '')
    .replace(/(?<=.)\.+$/u, '');
}

/** Whether a text has characters that could forge a line of a listing or drive a terminal. */
export function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f]/.test(text);
}

/** A text without the characters that `hasControls` finds. */
export function withoutControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]/g, '');
}

/** Whether a name can be a path segment: not empty, no dot segment, no slash, no control character. */
export function isServable(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !hasControls(name);
}
