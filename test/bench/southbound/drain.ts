import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { run } from '../../fixtures/process.js';

/** What clients ask for, and how. */
export interface Drain {
  readonly port: number;
  /** Asked for in turn. */
  readonly paths: readonly string[];
  readonly connections?: number;
  /** Of each connection. */
  readonly requests?: number;
  /** Bytes a second that each connection reads. */
  readonly rate?: number;
  /** As in a Range header, without the unit. */
  readonly range?: string;
  /** Each request on a connection of its own. */
  readonly isFresh?: boolean;
  /** Milliseconds between the requests of a connection. */
  readonly pause?: number;
  /** Seconds after which it stops. */
  readonly time?: number;
  /** Seconds for which the connections are held without a request, before a last one on each. */
  readonly hold?: number;
}

/** What came of it. Times are in seconds. */
export interface Drained {
  readonly bytes: number;
  readonly seconds: number;
  readonly answers: number;
  readonly errors: number;
  /** Connections that answered after they had been held. */
  readonly held: number;
  readonly firstByte: { readonly median: number; readonly p99: number; readonly worst: number };
}

function argumentsOf(drain: Drain): string[] {
  const { connections, requests, rate, range, pause, time, hold } = drain;
  const valued = { c: connections, n: requests, b: rate, r: range, w: pause, t: time, i: hold };
  const options = Object.entries(valued).flatMap(([name, value]) =>
    value === undefined ? [] : [`-${name}`, `${value}`],
  );
  if (drain.isFresh === true) options.push('-f');
  return [...options, '127.0.0.1', String(drain.port), ...drain.paths];
}

/** Starts clients that nobody waits for. */
export function startDrain(program: string, drain: Drain): ChildProcess {
  return spawn(program, argumentsOf(drain), { stdio: 'ignore' });
}

export async function stopDrain(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) throw new Error('The clients were done before they were to stop');
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

/** @throws Error when a request failed */
export async function runDrain(program: string, drain: Drain): Promise<Drained> {
  const { code, stdout, stderr } = await run(program, argumentsOf(drain));
  const line = stdout.trimEnd().split('\n').at(-1) ?? '';
  if (code !== 0 || line === '') throw new Error(`drain exits with ${String(code)}: ${stderr}`);
  const drained = JSON.parse(line) as Drained;
  if (drained.errors > 0 && drain.hold === undefined) {
    throw new Error(`${drained.errors} of the requests for ${drain.paths[0] ?? ''} failed ${stderr}`);
  }
  return drained;
}
