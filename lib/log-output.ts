import { createLog, lineOf, type Log, type LogFormat } from './log.js';
import { LogFile } from './log-file.js';

export interface LogSettings {
  readonly minLogLevel: number;
  readonly logFormat: LogFormat;
  readonly logFile: string | undefined;
}

/** A log, and the file that it is also written to, where there is one. */
export interface LogOutput {
  readonly log: Log;
  /** Call it before the process exits: resolves when the last lines are in the file, within about a second. */
  readonly close: () => Promise<void>;
}

/**
 * Opens the log of the settings. Throws the system's errors when there is to be a file that cannot be opened.
 * @param print receives each line, and alone is told what is wrong with the file
 */
export async function openLog(settings: LogSettings, print: (line: string) => void): Promise<LogOutput> {
  const { minLogLevel, logFormat, logFile } = settings;
  const printed = createLog(minLogLevel, print, logFormat);
  if (logFile === undefined) return { log: printed, close: () => Promise.resolve() };
  const file = await LogFile.open(logFile, {
    report: (words) => printed.error(`log file ${logFile}: ${words}`),
    gap: (lines) => lineOf('error', `${lines} lines are missing here`, logFormat),
  });
  const write = (line: string) => {
    print(line);
    file.write(line);
  };
  return {
    log: createLog(minLogLevel, write, logFormat),
    close: () => file.close(),
  };
}
