/** `minLogLevel`: 0 prints everything, 4 critical errors only, 5 nothing. */
export const levels = ['debug', 'info', 'warning', 'error', 'critical'] as const;
export type Level = (typeof levels)[number];
export type Log = Record<Level, (message: string) => void>;

// Control characters of client input must not forge a second line or drive a terminal; U+2028 and U+2029 end lines too.
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

function escapeControls(text: string): string {
  return text.replace(unprintable, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * A log that writes one line an event: time, level, message.
 * @param minLevel 0 to 5: events of a lower level are not written
 * @param write receives each line with its line feed
 */
export function createLog(minLevel: number, write: (line: string) => void): Log {
  const at = (level: Level, severity: number) => (message: string) => {
    if (severity < minLevel) return;
    write(`${new Date().toISOString()} ${level.padEnd(8)} ${escapeControls(message)}\n`);
  };
  return {
    debug: at('debug', 0),
    info: at('info', 1),
    warning: at('warning', 2),
    error: at('error', 3),
    critical: at('critical', 4),
  };
}
