import type { Kind } from './entries.js';
import { parseToken } from './secrets.js';

/** What a client says of itself. */
export interface Credentials {
  readonly kind: Kind;
  /** The id of a token, empty where it is none of ours; the name that belongs to a password. */
  readonly key: string;
  readonly secret: string;
}

function bearer(value: string): Credentials {
  const { id, secret } = parseToken(value) ?? { id: '', secret: value };
  return { kind: 'token', key: id, secret };
}

function basic(value: string): Credentials | undefined {
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  return { kind: 'password', key: text.slice(0, colon), secret: normalized(text.slice(colon + 1)) };
}

/** A password in the one form of its letters that is hashed (RFC 7617 2.1): keyboards differ in how they write an ä. */
export function normalized(password: string): string {
  return password.normalize('NFC');
}

/** Reads the header field Authorization: Bearer (RFC 6750 2.1) or Basic (RFC 7617 2); undefined for anything else. */
export function parseAuthorization(header: string | undefined): Credentials | undefined {
  // RFC 9110 11.4: the scheme in any case, then token68.
  const [, scheme, value] = /^(bearer|basic) +([\w.~+/-]+=*)$/i.exec(header ?? '') ?? [];
  if (scheme === undefined || value === undefined) return undefined;
  return scheme.toLowerCase() === 'bearer' ? bearer(value) : basic(value);
}
