import type { IncomingMessage } from 'node:http';
import t from 'tap';
import type { Exchange } from '../../lib/http/exchange.js';
import { checkParameters, mergeParameters, preferredWait, required } from '../../lib/northbound/parameters.js';

const check = (query: string) => checkParameters(new URLSearchParams(query), ['name', 'version']);

t.test('parameters come as they were given', (t) => {
  t.same(check(''), {});
  t.same(check('name=ubuntu&version=14.04'), { name: 'ubuntu', version: '14.04' });
  t.same(check('name=%E2%82%AC%20a%2Bb'), { name: '€ a+b' });
  t.end();
});

t.test('what is wrong with a parameter is said by its name', (t) => {
  const cases: [query: string, message: RegExp][] = [
    ['name=a&name=b', /^name is given twice$/],
    ['name=', /^name is empty$/],
    ['nmae=a', /^Unknown parameter "nmae"; allowed: name, version$/],
    ['__proto__=a', /^Unknown parameter "__proto__"/],
    ['constructor=a', /^Unknown parameter "constructor"/],
  ];
  for (const [query, message] of cases) t.throws(() => check(query), { code: 'BAD_REQUEST', message }, query);
  t.equal(required(check('name=a'), 'name'), 'a');
  t.throws(() => required(check('name=a'), 'version'), { code: 'BAD_REQUEST', message: 'version is missing' });
  t.end();
});

t.test('Prefer: wait=SECONDS is found among other preferences, and bounded', (t) => {
  const cases: [header: string | undefined, seconds: number | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['wait=5', 5],
    ['respond-async, wait=10', 10],
    ['respond-async; x=1, Wait = "7"', 7],
    ['wait=0', 0],
    ['wait=99999999', 3600],
    ['wait=5x', undefined],
    ['wait=-5', undefined],
    ['await=5', undefined],
    ['wait', undefined],
  ];
  for (const [prefer, seconds] of cases) {
    const request = { headers: { prefer } } as unknown as IncomingMessage;
    t.equal(preferredWait({ request } as Exchange), seconds, String(prefer));
  }
  t.end();
});

t.test('a parameter in both query and body is one when it has one value, and a mistake when it has two', (t) => {
  t.same(mergeParameters(check('name=a'), check('version=1')), { name: 'a', version: '1' });
  t.same(mergeParameters(check('name=a'), check('name=a&version=1')), { name: 'a', version: '1' });
  t.throws(() => mergeParameters(check('name=a'), check('name=b')), {
    code: 'BAD_REQUEST',
    message: /^name is given twice, with different values/,
  });
  t.end();
});
