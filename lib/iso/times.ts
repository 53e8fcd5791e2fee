const minuteMilliseconds = 60_000;

/** The end of the year 9999. */
const latest = Date.UTC(10_000, 0, 1);

/** Fields of a recorded time; `zone` is the distance from Greenwich in minutes. */
interface Fields {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly millisecond: number;
  readonly zone: number;
}

function milliseconds(time: Fields): number | undefined {
  const { year, month, day, hour, minute, second } = time;
  // Date.UTC would take the years 0 to 99, which nobody means, as 1900 to 1999.
  if (year < 100) return undefined;
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59) return undefined;
  const local = Date.UTC(year, month - 1, day, hour, minute, second, time.millisecond);
  const utc = local - time.zone * minuteMilliseconds;
  // A header has room for four digits of a year.
  return utc < latest ? utc : undefined;
}

/** Some writers record nonsense as the zone: like Linux, one beyond 13 hours counts as Greenwich. */
function zoneOf(quarters: number): number {
  return Math.abs(quarters) <= 52 ? quarters * 15 : 0;
}

/** The 7 bytes of a directory record's time (ECMA-119 9.1.5), in milliseconds since 1970; undefined when not valid. */
export function recordTime(bytes: Buffer, at: number): number | undefined {
  return milliseconds({
    year: 1900 + bytes.readUInt8(at),
    month: bytes.readUInt8(at + 1),
    day: bytes.readUInt8(at + 2),
    hour: bytes.readUInt8(at + 3),
    minute: bytes.readUInt8(at + 4),
    second: bytes.readUInt8(at + 5),
    millisecond: 0,
    zone: zoneOf(bytes.readInt8(at + 6)),
  });
}

/** The 17 bytes of a time in digits (ECMA-119 8.4.26.1), in milliseconds since 1970; undefined when not valid. */
export function digitsTime(bytes: Buffer, at: number): number | undefined {
  const digits = bytes.toString('latin1', at, at + 16);
  if (!/^[0-9]{16}$/.test(digits)) return undefined;
  const number = (from: number, to: number) => Number(digits.slice(from, to));
  return milliseconds({
    year: number(0, 4),
    month: number(4, 6),
    day: number(6, 8),
    hour: number(8, 10),
    minute: number(10, 12),
    second: number(12, 14),
    millisecond: number(14, 16) * 10,
    zone: zoneOf(bytes.readInt8(at + 16)),
  });
}

/** What a timestamp has as its zone when none is known (ECMA-167 1/7.3.1). */
const unknownZone = -2047;

/** The 12 bytes of a timestamp of UDF (ECMA-167 1/7.3), in milliseconds since 1970; undefined when not valid. */
export function timestamp(bytes: Buffer, at: number): number | undefined {
  const kind = bytes.readUInt16LE(at);
  // The low 12 bits are a signed number, which counts for local time only.
  const zone = (kind << 20) >> 20;
  const hasZone = kind >> 12 === 1 && zone !== unknownZone && Math.abs(zone) <= 24 * 60;
  const [centiseconds, hundreds] = [bytes.readUInt8(at + 9), bytes.readUInt8(at + 10)];
  return milliseconds({
    year: bytes.readInt16LE(at + 2),
    month: bytes.readUInt8(at + 4),
    day: bytes.readUInt8(at + 5),
    hour: bytes.readUInt8(at + 6),
    minute: bytes.readUInt8(at + 7),
    second: bytes.readUInt8(at + 8),
    // Some discs have nonsense below the second.
    millisecond: centiseconds < 100 && hundreds < 100 ? centiseconds * 10 + Math.floor(hundreds / 10) : 0,
    zone: hasZone ? zone : 0,
  });
}
