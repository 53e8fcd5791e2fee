/**
 * The tests that need a machine of their own, a virtual one: `npm run test:vm`, or `npm run test:vm -- short` for the
 * most important of them. `npm run test:vm -- all kernel` runs those alone that need a kernel with iso9660, udf, loop and
 * fuse, `npm run test:vm -- all systemd` those that install the service under systemd. Ends with the line
 * `N passed, N failed`; exits with 125 when there is no virtual machine.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { makeCorpus } from '../fixtures/corpus.js';
import { makeNewer, makePackages, projectFolder } from '../fixtures/packages.js';
import Reporter from '../fixtures/reporter.js';
import { discsOf, environmentOf, isPart, type Part, parts } from '../fixtures/vm.js';

/** What runs in a machine, with the options of kernel-vm that make it. */
interface Machine {
  readonly script: string;
  readonly options: readonly string[];
  /** Puts what it needs into a folder. */
  prepare(part: Part, folder: string): Promise<void>;
}

const machines: Readonly<Record<string, Machine>> = {
  kernel: {
    script: 'dist/test/vm/all.js',
    options: [],
    prepare: async (part, folder) => {
      for (const tool of await makeCorpus(folder, discsOf(part))) print(`Not installed, so not all is tested: ${tool}`);
    },
  },
  systemd: {
    script: 'dist/test/vm/systemd.js',
    options: ['-s'],
    prepare: async (_part, folder) => {
      const { deb } = await makePackages(folder);
      await makeNewer(deb, join(folder, 'newer'), '1000.0.0');
    },
  },
};

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
async function runTests(
  { script, options }: Machine,
  part: Part,
  folder: string,
): Promise<Counts & { readonly code: number }> {
  const variables = Object.entries({
    ...environmentOf(part, folder),
    ...(process.env['CI'] === undefined ? {} : { CI: 'true' }),
    // Under an emulated processor compiling costs more than it brings: this halves the time.
    NODE_OPTIONS: '--jitless',
    TAP_TIMEOUT: String(limits[part]),
  });
  const environment = variables.map(([name, value]) => `${name}=${value}`);
  const command = ['env', ...environment, process.execPath, script];
  const machine = spawn('test/vm/kernel-vm', [...options, '-t', String(limits[part]), '--', ...command], {
    cwd: projectFolder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(machine, 'close') as Promise<[number | null]>;
  machine.stdout.setEncoding('utf8');
  const counted = count(machine.stdout);
  machine.stdout.pipe(new Reporter()).pipe(process.stdout, { end: false });
  const [code] = await closed;
  return { ...(await counted), code: code ?? 1 };
}

async function runMachine(machine: Machine, part: Part): Promise<Counts & { readonly code: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'image-service-vm-'));
  try {
    await machine.prepare(part, folder);
    return await runTests(machine, part, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function main(part: Part, wanted: readonly Machine[]): Promise<number> {
  const total = { passed: 0, failed: 0 };
  for (const machine of wanted) {
    const { passed, failed, code } = await runMachine(machine, part);
    if (code === noMachine) return noMachine;
    total.passed += passed;
    // A run that breaks off has failed, whatever it has told before.
    total.failed += failed + (failed === 0 && (code !== 0 || passed === 0) ? 1 : 0);
  }
  print(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

const [part = 'all', name = ''] = process.argv.slice(2);
const wanted = name === '' ? Object.values(machines) : [machines[name]].filter((machine) => machine !== undefined);
if (isPart(part) && wanted.length > 0) {
  process.exitCode = await main(part, wanted);
} else {
  print(`npm run test:vm takes one of: ${parts.join(', ')}; and then, at choice: ${Object.keys(machines).join(', ')}`);
  process.exitCode = 2;
}
