import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { systemCode } from '../errors.js';

/** Bytes of what a program says that are kept: an error message, not a flood of them. */
const maxWords = 4096;

/** Milliseconds for the last words of a program that has ended, when what it started still holds the pipe. */
const lastWords = 200;

/** How a program ended, and what it said on its standard error. */
export type Outcome =
  | { readonly type: 'exit'; readonly status: number; readonly stderr: string }
  | { readonly type: 'signal'; readonly signal: string; readonly stderr: string }
  | { readonly type: 'timeout'; readonly stderr: string }
  /** It could not be started: the code of the failed system call, such as `ENOENT`. */
  | { readonly type: 'not started'; readonly code: string; readonly stderr: '' };

export interface RunOptions {
  /** Milliseconds, then the program is killed. */
  readonly timeout: number;
}

/** A program that runs beside the service. */
export interface Running {
  /** How it ends; never rejects. A program that the kernel cannot end, as on a dead network disk, never does. */
  readonly ended: Promise<Outcome>;
  readonly stderr: () => string;
  /** Ends it, and what it has started, at once; stops listening to it. */
  kill(): void;
}

/** Keeps the first bytes of a stream, and goes on emptying it: a full pipe would stop the program. */
function collect(stream: Readable): () => string {
  const parts: Buffer[] = [];
  let length = 0;
  stream.on('data', (part: Buffer) => {
    if (length < maxWords) parts.push(part.subarray(0, maxWords - length));
    length += part.length;
  });
  stream.on('error', () => undefined);
  return () => Buffer.concat(parts).toString('utf8').trim();
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended in this moment.
  }
}

function notStarted(error: unknown): Outcome {
  return { type: 'not started', code: systemCode(error) ?? 'unknown', stderr: '' };
}

function watch(child: ChildProcess): Running {
  const { pid, stderr } = child;
  let isOver = pid === undefined;
  let words = () => '';
  const ended = new Promise<Outcome>((resolve) => {
    // Before anything else: nobody would survive this event without a listener.
    child.on('error', (error) => {
      if (pid === undefined) resolve(notStarted(error));
    });
    // With too many open files there is no pipe, whatever the types say.
    if (stderr) words = collect(stderr);
    const settle = (status: number | null, signal: NodeJS.Signals | null) => {
      stderr?.destroy();
      if (status !== null) resolve({ type: 'exit', status, stderr: words() });
      else resolve({ type: 'signal', signal: signal ?? 'unknown', stderr: words() });
    };
    child.once('exit', (status, signal) => {
      // Its number may be given to another process from now on.
      isOver = true;
      setTimeout(settle, lastWords, status, signal);
    });
    child.once('close', settle);
  });
  const kill = () => {
    if (!isOver && pid !== undefined) killGroup(pid);
    stderr?.destroy();
    child.unref();
  };
  return { ended, stderr: () => words(), kill };
}

/**
 * Starts a program: no shell, and nothing of the service's environment. Never throws.
 * @param program its absolute path
 * @param locale decides how it reads and writes names
 */
export function start(program: string, args: readonly string[], locale: 'C' | 'C.UTF-8' = 'C'): Running {
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: locale },
      cwd: '/',
      // A process group of its own: what it starts can be ended with it, and ^C in a terminal reaches the service alone.
      detached: true,
    });
  } catch (error) {
    // Some failures come as an event, and others, such as ENOMEM, are thrown.
    return { ended: Promise.resolve(notStarted(error)), stderr: () => '', kill: () => undefined };
  }
  return watch(child);
}

/**
 * Runs a program to its end, or kills it after a while. Never rejects.
 * @param program its absolute path
 */
export async function run(program: string, args: readonly string[], { timeout }: RunOptions): Promise<Outcome> {
  const running = start(program, args);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome>((resolve) => {
    timer = setTimeout(() => {
      const stderr = running.stderr();
      running.kill();
      // Not waited for: a process that hangs in the kernel outlives even SIGKILL.
      resolve({ type: 'timeout', stderr });
    }, timeout);
  });
  try {
    return await Promise.race([running.ended, late]);
  } finally {
    clearTimeout(timer);
  }
}

function reasonOf(outcome: Outcome): string {
  switch (outcome.type) {
    case 'exit':
      return `exit status ${outcome.status}`;
    case 'signal':
      return `ended by ${outcome.signal}`;
    case 'timeout':
      return 'no end in sight: killed';
    case 'not started':
      return outcome.code === 'ENOENT' ? 'not installed' : `cannot be started: ${outcome.code}`;
  }
}

/**
 * What a program said, or else how it ended, in one line that may be shown to a client.
 * @param names what to say in place of the host paths that it was told; other paths but devices are left out
 */
export function wordsOf(outcome: Outcome, names: ReadonlyMap<string, string> = new Map()): string {
  let words = outcome.stderr;
  for (const [path, name] of names) words = words.replaceAll(path, name);
  words = words
    .replace(/^.*dmesg\(1\).*$/gm, '')
    .replace(/(?<![^\s"'`(=:])\/(?!dev\/)[^\s"'`:,)]+/g, '…')
    .replace(/\s+/g, ' ')
    .trim();
  return outcome.type === 'exit' && words !== '' ? words : [reasonOf(outcome), words].filter(Boolean).join(': ');
}
