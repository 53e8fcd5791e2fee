import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { messageOf } from './errors.js';
import type { Log } from './log.js';

/** Tells the service manager what the service does (sd_notify(3)); where none has asked for it, does nothing. */
export interface Notifier {
  /** It serves. From now on the manager also hears that the event loop runs, as often as its watchdog wants to. */
  ready(): void;
  /** It ends. Resolves when the manager has been told so, or cannot be. */
  stopping(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;
/** Sends one assignment, such as `READY=1`. */
type Send = (assignment: string) => Promise<unknown>;

/** Milliseconds that the manager may take to read what it is told. */
const patience = 10_000;

const execute = promisify(execFile);

// Node has no datagram sockets of the file system, and this program comes with systemd.
const sendBySystemd: Send = (assignment) => execute('systemd-notify', [assignment], { timeout: patience });

/** Milliseconds between two signs of life, half of what the manager waits for one; undefined: it waits for none. */
function periodOf({ WATCHDOG_USEC: wanted, WATCHDOG_PID: pid }: Environment): number | undefined {
  const microseconds = Number(wanted);
  const isOurs = pid === undefined || pid === String(process.pid);
  return isOurs && microseconds > 0 ? microseconds / 2000 : undefined;
}

/** @param environment NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, as systemd sets them */
export function createNotifier(environment: Environment, log: Log, send = sendBySystemd): Notifier {
  if (environment['NOTIFY_SOCKET'] === undefined) return { ready: () => undefined, stopping: () => Promise.resolve() };
  const period = periodOf(environment);
  let last = Promise.resolve();
  // One after the other: what was true later must arrive later.
  const tell = (assignment: string) =>
    (last = last
      .then(() => send(assignment))
      .then(
        () => undefined,
        (error: unknown) => log.error(`systemd-notify ${assignment}: ${messageOf(error)}`),
      ));
  return {
    ready: () => {
      void tell('READY=1');
      // By a timer of this process, which does not come when the event loop hangs.
      if (period !== undefined) setInterval(() => void tell('WATCHDOG=1'), period).unref();
    },
    stopping: () => tell('STOPPING=1'),
  };
}
