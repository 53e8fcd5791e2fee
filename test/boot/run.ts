/**
 * Machines, emulated, that boot from the service: `npm run test:boot`, or `npm run test:boot -- short` for the one that
 * every run of the tests has. Ends with a table of what booted, and the line `N passed, N failed`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { projectFolder } from '../fixtures/packages.js';
import Reporter from '../fixtures/reporter.js';

const parts: Readonly<Record<string, readonly string[]>> = { short: ['bios-ipxe'], all: ['bios-ipxe', 'uefi'] };

/** Milliseconds that one file may take: several times what it does on a machine with nothing else to do. */
const limit = 30 * 60_000;

interface Outcome {
  readonly what: string;
  readonly isPassed: boolean;
  readonly seconds: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The tests of a run, by its outermost lines (TAP 14, "Test Points"). */
async function outcomesOf(tap: Readable): Promise<Outcome[]> {
  let text = '';
  for await (const chunk of tap) text += String(chunk);
  const lines = text.matchAll(/^(not )?ok \d+ - (.*?)(?: # time=([\d.]+)ms| # (SKIP).*)?$/gm);
  return [...lines].flatMap(([, not, what = '', milliseconds = '0', skip]) =>
    skip === undefined ? [{ what, isPassed: not === undefined, seconds: Math.round(Number(milliseconds) / 1000) }] : [],
  );
}

async function run(name: string): Promise<Outcome[]> {
  const env = { ...process.env, TAP_TIMEOUT: String(limit / 1000) };
  const child = spawn(process.execPath, [`dist/test/boot/${name}.js`], { cwd: projectFolder, env });
  const closed = once(child, 'close') as Promise<[number | null]>;
  const outcomes = outcomesOf(child.stdout);
  child.stdout.pipe(new Reporter()).pipe(process.stdout, { end: false });
  child.stderr.pipe(process.stderr, { end: false });
  const [code] = await closed;
  const found = await outcomes;
  const isTold = code === 0 || found.some(({ isPassed }) => !isPassed);
  return isTold ? found : [...found, { what: `${name} ended with ${code ?? 'a signal'}`, isPassed: false, seconds: 0 }];
}

async function main(names: readonly string[]): Promise<number> {
  const outcomes: Outcome[] = [];
  for (const name of names) outcomes.push(...(await run(name)));
  print('| what | outcome | seconds |\n|---|---|---|');
  for (const { what, isPassed, seconds } of outcomes)
    print(`| ${what} | ${isPassed ? 'boots' : 'FAILS'} | ${seconds} |`);
  const failed = outcomes.filter(({ isPassed }) => !isPassed).length;
  print(`${outcomes.length - failed} passed, ${failed} failed`);
  return failed === 0 && outcomes.length > 0 ? 0 : 1;
}

const [part = 'all'] = process.argv.slice(2);
const names = Object.hasOwn(parts, part) ? parts[part] : undefined;
if (names === undefined) print(`npm run test:boot takes one of: ${Object.keys(parts).join(', ')}`);
process.exitCode = names === undefined ? 2 : await main(names);
