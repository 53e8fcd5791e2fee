import t from 'tap';
import { type Credentials, parseAuthorization } from '../../lib/access/authorization.js';
import { formatToken } from '../../lib/access/secrets.js';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const token = { id: 'abcdefghijkl', secret: 'S'.repeat(43) };

t.test('Authorization is read as the RFCs have it', (t) => {
  const password = (key: string, secret: string): Credentials => ({ kind: 'password', key, secret });
  const cases: [header: string | undefined, credentials: Credentials | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    [`Bearer ${formatToken(token)}`, { kind: 'token', key: token.id, secret: token.secret }],
    [`bEARER   ${formatToken(token)}`, { kind: 'token', key: token.id, secret: token.secret }],
    ['Bearer abc', { kind: 'token', key: '', secret: 'abc' }],
    ['Bearer', undefined],
    ['Bearer a b', undefined],
    ['Bearer "a"', undefined],
    [`Basic ${base64('Aladdin:open sesame')}`, password('Aladdin', 'open sesame')],
    [`basic ${base64('a:b:c')}`, password('a', 'b:c')],
    [`Basic ${base64(':')}`, password('', '')],
    [`Basic ${base64('a:ä£')}`, password('a', 'ä£')],
    [`Basic ${base64('no colon')}`, undefined],
    ['Basic !!!', undefined],
    ['Digest username="a"', undefined],
    ['Basic', undefined],
  ];
  for (const [header, credentials] of cases) t.same(parseAuthorization(header), credentials, header ?? 'none');
  t.end();
});

t.test('a letter is the same however a keyboard composes it', (t) => {
  const composed = parseAuthorization(`Basic ${base64('a:\u00e4')}`);
  const decomposed = parseAuthorization(`Basic ${base64('a:a\u0308')}`);
  t.same(decomposed, composed);
  t.end();
});
