import type { IncomingHttpHeaders } from 'node:http';
import { ServiceError } from '../errors.js';

/** Digests of a file, in hexadecimal and lower case. */
export interface FieldDigests {
  readonly sha256?: string;
  readonly sha512?: string;
  readonly md5?: string;
}

/** The algorithms of RFC 9530 5 that are not deprecated, and how many bytes their digests have. */
const known = [
  { key: 'sha-256', algorithm: 'sha256', bytes: 32 },
  { key: 'sha-512', algorithm: 'sha512', bytes: 64 },
] as const;

// Structured fields, RFC 8941 3.1.2 and 3.3: parameters say nothing to us, but they may be there.
const key = '[a-z*][a-z0-9_.*-]*';
const token = "[A-Za-z*][\\w!#$%&'*+.^`|~:/-]*";
const item = `"(?:[ !#-\\[\\]-~]|\\\\["\\\\])*"|:[A-Za-z0-9+/=]*:|\\?[01]|-?\\d[\\d.]*|${token}`;
const parameters = `(?:; *${key}(?:=(?:${item}))?)*`;
/** A member of a dictionary of byte sequences, and the comma behind it. */
const member = new RegExp(
  `[ \\t]*(?<key>${key})=:(?<value>[A-Za-z0-9+/]*={0,2}):${parameters}[ \\t]*(?:(?<comma>,)|$)`,
  'y',
);

function malformed(field: string, allowed: string): ServiceError {
  return new ServiceError('BAD_REQUEST', `${field} is not valid: allowed is ${allowed}`);
}

/** All lines of a field as one, RFC 9110 5.3; undefined where there is nothing in it. */
function valueOf(headers: IncomingHttpHeaders, field: string): string | undefined {
  const value = headers[field.toLowerCase()];
  const text = Array.isArray(value) ? value.join(', ') : value;
  return text?.trim() === '' ? undefined : text;
}

/** The members of a dictionary; of two with the same key the last one counts, RFC 8941 3.2. */
function parseMembers(field: string, text: string): Map<string, string> {
  const members = new Map<string, string>();
  member.lastIndex = 0;
  for (let isOpen = true; isOpen;) {
    const found = member.exec(text)?.groups;
    if (found === undefined) throw malformed(field, 'a list of algorithm=:digest in base64:, separated by commas');
    members.set(found['key'] ?? '', found['value'] ?? '');
    isOpen = found['comma'] !== undefined;
  }
  return members;
}

/** An integrity field, RFC 9530 2 and 3. Algorithms that we do not know are ignored, as it asks for. */
function parseField(headers: IncomingHttpHeaders, field: string): FieldDigests {
  const text = valueOf(headers, field);
  const members = text === undefined ? undefined : parseMembers(field, text);
  const digests: Record<string, string> = {};
  for (const { key, algorithm, bytes } of known) {
    const value = members?.get(key);
    if (value === undefined) continue;
    const digest = Buffer.from(value, 'base64');
    if (digest.length !== bytes) throw malformed(field, `${key}=:${bytes} bytes in base64:`);
    digests[algorithm] = digest.toString('hex');
  }
  return digests;
}

/** Content-MD5, RFC 1864. */
function parseContentMd5(headers: IncomingHttpHeaders): FieldDigests {
  const text = valueOf(headers, 'Content-MD5');
  if (text === undefined) return {};
  if (!/^[A-Za-z0-9+/]{22}==$/.test(text)) throw malformed('Content-MD5', '16 bytes in base64');
  return { md5: Buffer.from(text, 'base64').toString('hex') };
}

/**
 * The digests that a request says its file has, in `Repr-Digest`, `Content-Digest` (RFC 9530) and `Content-MD5`
 * (RFC 1864). Beside `Content-Range` only `Repr-Digest` counts: the others are about the part that is being sent.
 * @throws ServiceError BAD_REQUEST for a malformed field, and for fields that contradict each other
 */
export function digestFields(headers: IncomingHttpHeaders): FieldDigests {
  const whole = parseField(headers, 'Repr-Digest');
  const content = { ...parseField(headers, 'Content-Digest'), ...parseContentMd5(headers) };
  if (headers['content-range'] !== undefined) return whole;
  for (const { key, algorithm } of known) {
    const [first, second] = [whole[algorithm], content[algorithm]];
    if (first === undefined || second === undefined || first === second) continue;
    throw new ServiceError('BAD_REQUEST', `Repr-Digest and Content-Digest have different values for ${key}`);
  }
  return { ...content, ...whole };
}

/** The value of a `Repr-Digest` field, RFC 9530 3. @param sha256 hexadecimal */
export function reprDigest(sha256: string): string {
  return `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`;
}
