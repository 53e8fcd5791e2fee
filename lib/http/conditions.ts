import type { IncomingHttpHeaders } from 'node:http';

/** What a file is known by in conditional requests. */
export interface Validators {
  /** A strong entity-tag without its quotes (RFC 9110 8.8.3). */
  readonly tag: string;
  readonly modified: Date | undefined;
}

/** Go on; nothing new for a reader (304); a precondition does not hold (412). */
export type Verdict = 'proceed' | 'not-modified' | 'failed';

/** `absent`: the header is not there, or is one that has to be ignored. */
type Check = 'true' | 'false' | 'absent';

type ConditionHeaders = Pick<
  IncomingHttpHeaders,
  'if-match' | 'if-none-match' | 'if-modified-since' | 'if-unmodified-since'
>;

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const day = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const longDay = '(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day';
const month = `(?<month>${months.join('|')})`;
const time = '(?<hour>[01]\\d|2[0-3]):(?<minute>[0-5]\\d):(?<second>[0-5]\\d|60)';
const dateFormats = [
  new RegExp(`^${day}, (?<day>\\d\\d) ${month} (?<year>\\d{4}) ${time} GMT$`), // IMF-fixdate
  new RegExp(`^${longDay}, (?<day>\\d\\d)-${month}-(?<year>\\d\\d) ${time} GMT$`), // RFC 850
  new RegExp(`^${day} ${month} (?<day>\\d\\d| \\d) ${time} (?<year>\\d{4})$`), // asctime
];

/** A year of two digits is never more than 50 years ahead: RFC 9110 5.6.7. */
function fullYear(text: string, now: Date): number {
  if (text.length === 4) return Number(text);
  const year = now.getUTCFullYear() - (now.getUTCFullYear() % 100) + Number(text);
  return year > now.getUTCFullYear() + 50 ? year - 100 : year;
}

/** An HTTP-date in any of its three formats (RFC 9110 5.6.7), or undefined when it is none. */
export function parseHttpDate(text: string, now = new Date()): Date | undefined {
  const parts = dateFormats.map((format) => format.exec(text)?.groups).find((groups) => groups !== undefined);
  if (parts === undefined) return undefined;
  const year = fullYear(parts['year'] ?? '', now);
  const dayOfMonth = Number(parts['day']);
  const midnight = new Date(Date.UTC(year, months.indexOf(parts['month'] ?? ''), dayOfMonth));
  // Date.UTC takes 31 February for 3 March, and the year 99 for 1999.
  if (midnight.getUTCDate() !== dayOfMonth || midnight.getUTCFullYear() !== year) return undefined;
  const seconds = Number(parts['hour']) * 3600 + Number(parts['minute']) * 60 + Number(parts['second']);
  return new Date(midnight.getTime() + seconds * 1000);
}

function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}

interface EntityTag {
  readonly weak: boolean;
  readonly tag: string;
}

// A tag may hold commas and backslashes, and knows no escape: RFC 9110 8.8.3.
const entityTag = /[ \t,]*(?<weak>W\/)?"(?<tag>[^"]*)"[ \t]*(?=,|$)/y;

/** The entity-tags of a list, up to the first thing that is none. */
function parseTags(header: string): EntityTag[] {
  const tags: EntityTag[] = [];
  entityTag.lastIndex = 0;
  for (let found = entityTag.exec(header); found !== null; found = entityTag.exec(header)) {
    tags.push({ weak: found.groups?.['weak'] !== undefined, tag: found.groups?.['tag'] ?? '' });
  }
  return tags;
}

function checkIfMatch(header: string | undefined, { tag }: Validators): Check {
  if (header === undefined || header === '') return 'absent';
  if (header === '*') return 'true';
  return parseTags(header).some((given) => !given.weak && given.tag === tag) ? 'true' : 'false';
}

function checkIfNoneMatch(header: string | undefined, { tag }: Validators): Check {
  if (header === undefined || header === '') return 'absent';
  if (header === '*') return 'false';
  return parseTags(header).some((given) => given.tag === tag) ? 'false' : 'true';
}

/** Whether the file is no newer than the date, in whole seconds: HTTP-dates have no fractions. */
function checkUnmodified(header: string | undefined, { modified }: Validators): Check {
  const date = header === undefined ? undefined : parseHttpDate(header);
  if (date === undefined || modified === undefined) return 'absent';
  return secondsOf(modified) <= secondsOf(date) ? 'true' : 'false';
}

function checkModified(header: string | undefined, validators: Validators): Check {
  const unmodified = checkUnmodified(header, validators);
  if (unmodified === 'absent') return 'absent';
  return unmodified === 'true' ? 'false' : 'true';
}

/**
 * Evaluates the preconditions of a request in the order of RFC 9110 13.2.2: tags count, dates only without them.
 * @param validators of a file that exists: a request for one that does not is a 404 whatever its preconditions
 */
export function evaluate(headers: ConditionHeaders, validators: Validators, method: string): Verdict {
  const match = checkIfMatch(headers['if-match'], validators);
  if (match === 'false') return 'failed';
  if (match === 'absent' && checkUnmodified(headers['if-unmodified-since'], validators) === 'false') return 'failed';
  const isRead = method === 'GET' || method === 'HEAD';
  const noneMatch = checkIfNoneMatch(headers['if-none-match'], validators);
  if (noneMatch === 'false') return isRead ? 'not-modified' : 'failed';
  if (noneMatch === 'true' || !isRead) return 'proceed';
  return checkModified(headers['if-modified-since'], validators) === 'false' ? 'not-modified' : 'proceed';
}

/**
 * Whether a Range header counts beside this If-Range header (RFC 9110 13.1.5): the same strong tag, or exactly the
 * same date. Anything else and the client gets the whole file, never the rest of another one.
 */
export function ifRangeHolds(header: string | undefined, { tag, modified }: Validators): boolean {
  if (header === undefined) return true;
  if (header === `"${tag}"`) return true;
  const date = parseHttpDate(header);
  return date !== undefined && modified !== undefined && secondsOf(date) === secondsOf(modified);
}
