/**
 * The tests that need a kernel with iso9660, udf, loop and fuse, in a virtual machine: `npm run test:vm`, or
 * `npm run test:vm -- short` for what takes less than a minute. Ends with the line `N passed, N failed`; exits with 125
 * when there is no virtual machine.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { makeCorpus } from '../fixtures/corpus.js';
import Reporter from '../fixtures/reporter.js';
import { discsOf, environmentOf, isPart, type Part, parts } from '../fixtures/vm.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** Seconds: several times what it takes on a machine with nothing else to do. */
const limits: Readonly<Record<Part, number>> = { short: 400, all: 2400 };
const noMachine = 125;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

interface Counts {
  passed: number;
  failed: number;
}

/** Counts the tests of a run by its outermost lines (TAP 14, "Test Points"). */
async function count(tap: Readable): Promise<Counts> {
  const counts = { passed: 0, failed: 0 };
  let rest = '';
  for await (const chunk of tap) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (/^ok\b/.test(line)) counts.passed++;
      else if (/^(not ok\b|Bail out!)/.test(line)) counts.failed++;
    }
  }
  return counts;
}

/** Runs the compiled tests in the machine; their output is reported as it comes. */
async function runTests(part: Part, folder: string): Promise<Counts & { readonly code: number }> {
  const variables = Object.entries({
    ...environmentOf(part, folder),
    ...(process.env['CI'] === undefined ? {} : { CI: 'true' }),
    // Under an emulated processor compiling costs more than it brings: this halves the time.
    NODE_OPTIONS: '--jitless',
    TAP_TIMEOUT: String(limits[part]),
  });
  const environment = variables.map(([name, value]) => `${name}=${value}`);
  const command = ['env', ...environment, process.execPath, 'dist/test/vm/all.js'];
  const machine = spawn('test/vm/kernel-vm', ['-t', String(limits[part]), '--', ...command], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(machine, 'close') as Promise<[number | null]>;
  machine.stdout.setEncoding('utf8');
  const counted = count(machine.stdout);
  machine.stdout.pipe(new Reporter()).pipe(process.stdout, { end: false });
  const [code] = await closed;
  return { ...(await counted), code: code ?? 1 };
}

async function main(part: Part): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'image-service-vm-'));
  try {
    for (const tool of await makeCorpus(folder, discsOf(part))) print(`Not installed, so not all is tested: ${tool}`);
    const { passed, failed, code } = await runTests(part, folder);
    // A run that breaks off has failed, whatever it has told before.
    print(`${passed} passed, ${code !== 0 && failed === 0 ? 1 : failed} failed`);
    if (code === noMachine) return noMachine;
    return code === 0 && failed === 0 && passed > 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const [part = 'all'] = process.argv.slice(2);
if (isPart(part)) {
  process.exitCode = await main(part);
} else {
  print(`npm run test:vm takes one of: ${parts.join(', ')}`);
  process.exitCode = 2;
}
