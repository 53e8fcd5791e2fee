import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import t from 'tap';
import { digestFields, reprDigest } from '../../lib/http/digest-fields.js';

function digest(algorithm: string, text: string, encoding: 'hex' | 'base64'): string {
  return createHash(algorithm).update(text).digest(encoding);
}

const sha256 = digest('sha256', 'a', 'hex');
const sha512 = digest('sha512', 'a', 'hex');
const md5 = digest('md5', 'a', 'hex');
const inBase64 = {
  sha256: digest('sha256', 'a', 'base64'),
  sha512: digest('sha512', 'a', 'base64'),
  md5: digest('md5', 'a', 'base64'),
  other: digest('sha256', 'b', 'base64'),
};
const field256 = `sha-256=:${inBase64.sha256}:`;
const field512 = `sha-512=:${inBase64.sha512}:`;
const other256 = `sha-256=:${inBase64.other}:`;

interface Case {
  readonly what: string;
  readonly headers: IncomingHttpHeaders;
  readonly digests: ReturnType<typeof digestFields>;
}

const good: readonly Case[] = [
  { what: 'no field at all', headers: {}, digests: {} },
  { what: 'empty fields', headers: { 'repr-digest': '', 'content-digest': ' ', 'content-md5': '' }, digests: {} },
  { what: 'Repr-Digest', headers: { 'repr-digest': field256 }, digests: { sha256 } },
  { what: 'Content-Digest', headers: { 'content-digest': field512 }, digests: { sha512 } },
  { what: 'two algorithms', headers: { 'repr-digest': `${field256},\t ${field512}` }, digests: { sha256, sha512 } },
  { what: 'a field on two lines', headers: { 'repr-digest': [field256, field512] }, digests: { sha256, sha512 } },
  { what: 'spaces around', headers: { 'repr-digest': `  ${field256}  ` }, digests: { sha256 } },
  {
    what: 'no padding',
    headers: { 'repr-digest': field256.replace(/=+:$/, ':') },
    digests: { sha256 },
  },
  {
    what: 'algorithms that nobody knows',
    headers: { 'repr-digest': `unixsum=:AAA=:, ${field256}, *x_y.z-1=::` },
    digests: { sha256 },
  },
  { what: 'only such', headers: { 'repr-digest': 'crc32c=:AAAAAA==:' }, digests: {} },
  { what: 'a deprecated algorithm', headers: { 'content-digest': `md5=:${inBase64.md5}:` }, digests: {} },
  {
    what: 'parameters',
    headers: { 'repr-digest': `${field256};a;b=1;c=-2.5; d="x\\",y";e=?1;f=Tok/en:0*;g=:AA==:, ${field512};a` },
    digests: { sha256, sha512 },
  },
  {
    what: 'an algorithm twice: the last one',
    headers: { 'repr-digest': `${other256}, ${field256}` },
    digests: { sha256 },
  },
  {
    what: 'two fields that agree',
    headers: { 'repr-digest': `${field256}, ${field512}`, 'content-digest': field256 },
    digests: { sha256, sha512 },
  },
  {
    what: 'two fields about different algorithms',
    headers: { 'repr-digest': field512, 'content-digest': field256 },
    digests: { sha256, sha512 },
  },
  { what: 'Content-MD5', headers: { 'content-md5': inBase64.md5 }, digests: { md5 } },
  {
    what: 'all of them',
    headers: { 'repr-digest': field512, 'content-digest': field256, 'content-md5': inBase64.md5 },
    digests: { sha256, sha512, md5 },
  },
  {
    what: 'a part of a file, whose content is not the file',
    headers: {
      'content-range': 'bytes 5-9/10',
      'repr-digest': field256,
      'content-digest': `${other256}, ${field512}`,
      'content-md5': inBase64.md5,
    },
    digests: { sha256 },
  },
];

for (const { what, headers, digests } of good) {
  t.test(`digest fields with ${what} are understood`, (t) => {
    t.same(digestFields(headers), digests);
    t.end();
  });
}

const bad: readonly (readonly [what: string, headers: IncomingHttpHeaders, message: RegExp])[] = [
  ['hexadecimal', { 'repr-digest': `sha-256=${sha256}` }, /^Repr-Digest is not valid: allowed is/],
  [
    'hexadecimal between colons',
    { 'repr-digest': `sha-256=:${sha256}:` },
    /^Repr-Digest .* sha-256=:32 bytes in base64:/,
  ],
  ['the field that came before', { 'content-digest': `SHA-256=${inBase64.sha256}` }, /^Content-Digest is not valid/],
  ['an algorithm alone', { 'repr-digest': 'sha-256' }, /not valid/],
  ['an empty digest', { 'repr-digest': 'sha-256=::' }, /32 bytes/],
  [
    'a digest that is too short',
    { 'content-digest': 'sha-512=:AAAA:' },
    /^Content-Digest .* sha-512=:64 bytes in base64:/,
  ],
  ['a digest of another algorithm', { 'repr-digest': field512.replace('512', '256') }, /32 bytes/],
  ['characters that are not base64', { 'repr-digest': `sha-256=:${'*'.repeat(43)}=:` }, /not valid/],
  ['padding in the middle', { 'repr-digest': `sha-256=:AA==${inBase64.sha256}:` }, /not valid/],
  ['no colon at the end', { 'repr-digest': field256.slice(0, -1) }, /not valid/],
  ['something behind', { 'repr-digest': `${field256} x` }, /not valid/],
  ['a comma at the end', { 'repr-digest': `${field256},` }, /not valid/],
  ['two commas', { 'repr-digest': `${field256},, ${field512}` }, /not valid/],
  ['no comma', { 'repr-digest': `${field256} ${field512}` }, /not valid/],
  ['a malformed algorithm that nobody knows', { 'repr-digest': `x=1, ${field256}` }, /not valid/],
  ['a malformed parameter', { 'repr-digest': `${field256};a="` }, /not valid/],
  ['a malformed one about a part', { 'content-range': 'bytes 5-9/10', 'content-digest': 'x' }, /^Content-Digest/],
  [
    'fields that contradict each other',
    { 'repr-digest': field256, 'content-digest': other256 },
    /different values for sha-256/,
  ],
  ['Content-MD5 in hexadecimal', { 'content-md5': md5 }, /^Content-MD5 is not valid: allowed is 16 bytes in base64$/],
  ['Content-MD5 twice', { 'content-md5': `${inBase64.md5}, ${inBase64.md5}` }, /^Content-MD5/],
  ['Content-MD5 that is too long', { 'content-md5': inBase64.sha256 }, /^Content-MD5/],
];

for (const [what, headers, message] of bad) {
  t.test(`digest fields with ${what} are refused`, (t) => {
    t.throws(() => digestFields(headers), { code: 'BAD_REQUEST', message });
    t.end();
  });
}

t.test('a field of many bytes is refused as fast as a short one', (t) => {
  for (const piece of [';a', ';a=', '=', ' ', 'sha-256=:A', ';a="\\"', ',']) {
    t.throws(() => digestFields({ 'repr-digest': `${field256}${piece.repeat(15_000)}!` }), { code: 'BAD_REQUEST' });
  }
  t.end();
});

t.test('the value of Repr-Digest is one that is understood', (t) => {
  // RFC 9530, appendix D: {"hello": "world"} and a line feed.
  const example = createHash('sha256').update('{"hello": "world"}\n').digest('hex');
  t.equal(reprDigest(example), 'sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:');
  t.same(digestFields({ 'repr-digest': reprDigest(example) }), { sha256: example });
  t.end();
});
