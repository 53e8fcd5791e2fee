const minuteMilliseconds = 60_000;

/** Fields of a recorded time; `zone` is the distance from Greenwich in quarters of an hour. */
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
  // Some writers record nonsense as the zone: like Linux, one beyond 13 hours counts as Greenwich.
  const zone = Math.abs(time.zone) <= 52 ? time.zone : 0;
  return Date.UTC(year, month - 1, day, hour, minute, second, time.millisecond) - zone * 15 * minuteMilliseconds;
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
    zone: bytes.readInt8(at + 6),
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
    zone: bytes.readInt8(at + 16),
  });
}
