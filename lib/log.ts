/** `minLogLevel`: 0 prints everything, 4 critical errors only, 5 nothing. */
export const levels = ['debug', 'info', 'warning', 'error', 'critical'] as const;
export type Level = (typeof levels)[number];
export type Log = Record<Level, (message: string) => void>;

/** `logFormat`: lines for people, or a JSON object each line. */
export type LogFormat = 'text' | 'json';

// Control characters of client input must not forge a second line or drive a terminal; U+2028 and U+2029 end lines too.
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

function escapeControls(text: string): string {
  return text.replace(unprintable, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The line of an event, with its line feed: time (ISO 8601, UTC), level, message; `json` (RFC 8259) by these names. */
export function lineOf(level: Level, message: string, format: LogFormat): string {
  const time = new Date().toISOString();
  // What JSON itself leaves as it is means the same escaped.
  if (format === 'json') return `${escapeControls(JSON.stringify({ time, level, message }))}\n`;
  return `${time} ${level.padEnd(8)} ${escapeControls(message)}\n`;
}

/**
 * A log that writes one line an event: time, level, message.
 * @param minLevel 0 to 5: events of a lower level are not written
 * @param write receives each line with its line feed
 */
export function createLog(minLevel: number, write: (line: string) => void, format: LogFormat = 'text'): Log {
  const at = (level: Level, severity: number) => (message: string) => {
    if (severity >= minLevel) write(lineOf(level, message, format));
  };
  return {
    debug: at('debug', 0),
    info: at('info', 1),
    warning: at('warning', 2),
    error: at('error', 3),
    critical: at('critical', 4),
  };
}
