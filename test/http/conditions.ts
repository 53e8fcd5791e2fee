import t, { type Test } from 'tap';
import { evaluate, ifRangeHolds, parseHttpDate, type Verdict } from '../../lib/http/conditions.js';

const modified = new Date('1994-11-06T08:49:37.900Z');
const same = 'Sun, 06 Nov 1994 08:49:37 GMT';
const earlier = 'Sun, 06 Nov 1994 08:49:36 GMT';
const later = 'Sun, 06 Nov 1994 08:49:38 GMT';
const validators = { tag: 'a,b', modified };

function check(t: Test, method: string, headers: Parameters<typeof evaluate>[0], expected: Verdict): void {
  t.equal(evaluate(headers, validators, method), expected, `${method} ${JSON.stringify(headers)}`);
}

t.test('a request without conditions proceeds', (t) => {
  check(t, 'GET', {}, 'proceed');
  check(t, 'DELETE', {}, 'proceed');
  t.end();
});

t.test('If-Match wants the same strong tag', (t) => {
  const cases: [header: string, expected: Verdict][] = [
    ['*', 'proceed'],
    ['"a,b"', 'proceed'],
    ['"x", "a,b"', 'proceed'],
    ['"x","a,b" ,"y"', 'proceed'],
    [', ,"a,b",', 'proceed'],
    ['W/"a,b"', 'failed'],
    ['"x"', 'failed'],
    ['a,b', 'failed'],
    ['"a', 'failed'],
    ['"a,b', 'failed'],
    ['"a,b"x', 'failed'],
    ['"a,b" "x"', 'failed'],
    ['"A,B"', 'failed'],
    ['""', 'failed'],
  ];
  for (const [header, expected] of cases) {
    check(t, 'GET', { 'if-match': header }, expected);
    check(t, 'PUT', { 'if-match': header }, expected);
  }
  check(t, 'GET', { 'if-match': '' }, 'proceed');
  t.end();
});

t.test(
  'If-None-Match takes weak tags and lists; a reader is told that nothing is new, a writer that it failed',
  (t) => {
    const matching = ['*', '"a,b"', 'W/"a,b"', '"x", W/"a,b"', 'W/"x" , "y,\\" , "a,b"'];
    for (const header of matching) {
      check(t, 'GET', { 'if-none-match': header }, 'not-modified');
      check(t, 'HEAD', { 'if-none-match': header }, 'not-modified');
      check(t, 'PUT', { 'if-none-match': header }, 'failed');
    }
    for (const header of ['', '"x"', 'w/"a,b"', 'a,b', '"a", "b"', '"x" junk, "a,b"', '"a,b']) {
      check(t, 'GET', { 'if-none-match': header }, 'proceed');
      check(t, 'PUT', { 'if-none-match': header }, 'proceed');
    }
    t.end();
  },
);

t.test('dates count in whole seconds', (t) => {
  check(t, 'GET', { 'if-modified-since': same }, 'not-modified');
  check(t, 'HEAD', { 'if-modified-since': later }, 'not-modified');
  check(t, 'GET', { 'if-modified-since': earlier }, 'proceed');
  check(t, 'GET', { 'if-unmodified-since': same }, 'proceed');
  check(t, 'GET', { 'if-unmodified-since': later }, 'proceed');
  check(t, 'GET', { 'if-unmodified-since': earlier }, 'failed');
  check(t, 'PUT', { 'if-unmodified-since': earlier }, 'failed');
  t.end();
});

t.test('a date is ignored when it is none, when the file has none, and If-Modified-Since on a write', (t) => {
  for (const header of ['', 'yesterday', '0', same.toLowerCase(), '1994-11-06T08:49:37Z']) {
    check(t, 'GET', { 'if-modified-since': header }, 'proceed');
    check(t, 'GET', { 'if-unmodified-since': header }, 'proceed');
  }
  check(t, 'PUT', { 'if-modified-since': later }, 'proceed');
  const undated = { tag: 'a', modified: undefined };
  t.equal(evaluate({ 'if-modified-since': later }, undated, 'GET'), 'proceed');
  t.equal(evaluate({ 'if-unmodified-since': earlier }, undated, 'GET'), 'proceed');
  t.end();
});

t.test('tags go before dates, and preconditions of a writer before those of a reader', (t) => {
  const yes = '"a,b"';
  const no = '"x"';
  check(t, 'GET', { 'if-match': yes, 'if-unmodified-since': earlier }, 'proceed');
  check(t, 'GET', { 'if-match': no, 'if-unmodified-since': later }, 'failed');
  check(t, 'GET', { 'if-none-match': no, 'if-modified-since': later }, 'proceed');
  check(t, 'GET', { 'if-none-match': yes, 'if-modified-since': earlier }, 'not-modified');
  check(t, 'GET', { 'if-match': no, 'if-none-match': yes }, 'failed');
  check(t, 'GET', { 'if-match': yes, 'if-none-match': yes }, 'not-modified');
  check(t, 'GET', { 'if-unmodified-since': earlier, 'if-none-match': yes }, 'failed');
  check(t, 'GET', { 'if-unmodified-since': same, 'if-modified-since': same }, 'not-modified');
  t.end();
});

t.test('a range is continued only in the very same file', (t) => {
  const cases: [header: string | undefined, expected: boolean][] = [
    [undefined, true],
    ['"a,b"', true],
    ['W/"a,b"', false],
    ['"a"', false],
    ['"x", "a,b"', false],
    ['*', false],
    ['a,b', false],
    ['', false],
    [same, true],
    ['Sunday, 06-Nov-94 08:49:37 GMT', true],
    ['Sun Nov  6 08:49:37 1994', true],
    [later, false],
    [earlier, false],
    ['never', false],
  ];
  for (const [header, expected] of cases) t.equal(ifRangeHolds(header, validators), expected, String(header));
  t.equal(ifRangeHolds(same, { tag: 'a', modified: undefined }), false);
  t.end();
});

t.test('an HTTP-date has three formats', (t) => {
  const now = new Date('2026-06-01T00:00:00Z');
  const cases: [text: string, expected: string | undefined][] = [
    ['Sun, 06 Nov 1994 08:49:37 GMT', '1994-11-06T08:49:37.000Z'],
    ['Sunday, 06-Nov-94 08:49:37 GMT', '1994-11-06T08:49:37.000Z'],
    ['Sun Nov  6 08:49:37 1994', '1994-11-06T08:49:37.000Z'],
    ['Wed Nov 16 08:49:37 1994', '1994-11-16T08:49:37.000Z'],
    ['Monday, 01-Jan-76 00:00:00 GMT', '2076-01-01T00:00:00.000Z'],
    ['Monday, 01-Jan-77 00:00:00 GMT', '1977-01-01T00:00:00.000Z'],
    ['Tuesday, 29-Feb-00 00:00:00 GMT', '2000-02-29T00:00:00.000Z'],
    ['Thu, 29 Feb 2024 23:59:59 GMT', '2024-02-29T23:59:59.000Z'],
    ['Sat, 31 Dec 2016 23:59:60 GMT', '2017-01-01T00:00:00.000Z'],
    ['Fri, 31 Dec 9999 00:00:00 GMT', '9999-12-31T00:00:00.000Z'],
    ['Wed, 29 Feb 2023 00:00:00 GMT', undefined],
    ['Sun, 31 Apr 1994 00:00:00 GMT', undefined],
    ['Sun, 00 Nov 1994 00:00:00 GMT', undefined],
    ['Sun, 06 Nov 0094 08:49:37 GMT', undefined],
    ['Sun, 06 Nov 1994 24:00:00 GMT', undefined],
    ['Sun, 06 Nov 1994 08:60:00 GMT', undefined],
    ['Sun, 06 Nov 1994 08:49:61 GMT', undefined],
    ['Sun, 6 Nov 1994 08:49:37 GMT', undefined],
    ['Sun, 06 Nov 1994 08:49:37 UTC', undefined],
    ['Sun, 06 Nov 1994 08:49:37', undefined],
    ['Xxx, 06 Nov 1994 08:49:37 GMT', undefined],
    ['Sun, 06-Nov-94 08:49:37 GMT', undefined],
    ['Sun Nov 6 08:49:37 1994', undefined],
    [' Sun, 06 Nov 1994 08:49:37 GMT', undefined],
    ['sun, 06 nov 1994 08:49:37 gmt', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of cases) t.equal(parseHttpDate(text, now)?.toISOString(), expected, text);
  t.end();
});

t.test('the dates that we send are dates that we read', (t) => {
  for (let seconds = 0; seconds < 4e9; seconds += 7_654_321) {
    const date = new Date(seconds * 1000);
    if (parseHttpDate(date.toUTCString())?.getTime() !== date.getTime()) t.fail(date.toUTCString());
  }
  t.end();
});

t.test('a header of many blanks, commas or quotes costs no time', (t) => {
  for (const filler of [' ', ',', '"', '"",', 'W/']) {
    check(t, 'GET', { 'if-none-match': `"x"${filler.repeat(200_000)}x` }, 'proceed');
  }
  t.end();
});
