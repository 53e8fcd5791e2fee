import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { directDriver } from '../../lib/mount/direct.js';
import { build, type Files } from '../fixtures/disk-tree.js';
import { needTools, outputOf } from '../fixtures/iso-tools.js';
import { type Facts, factsOf } from '../fixtures/iso-tree.js';
import { factsByKernel, withKernelMount } from '../fixtures/kernel-mount.js';
import { requireVm } from '../fixtures/vm.js';

const { part } = requireVm();

/** How the kernel says where a file is: inside of its entry, or by short or long descriptors (ECMA-167 4/14.14). */
const allocations = ['adinicb', 'noadinicb,shortad', 'noadinicb,longad'];

/** An empty volume, and how it is filled. */
interface Format {
  readonly options: readonly string[];
  readonly allocation: string;
}

/** What mkudffs can format and Linux can write into. Each way to say where a file is comes with each revision. */
const allFormats: Readonly<Record<string, Format>> = Object.fromEntries([
  ...['1.02', '1.50', '2.00', '2.01'].flatMap((revision, row) =>
    ['512', '1024', '2048', '4096'].map((bytes, column): [name: string, format: Format] => [
      `UDF ${revision} in blocks of ${bytes} bytes`,
      { options: [`--udfrev=${revision}`, `--blocksize=${bytes}`], allocation: allocations[(row + column) % 3] ?? '' },
    ]),
  ),
  ...['1.50', '2.00', '2.01'].map((revision, row): [name: string, format: Format] => [
    `UDF ${revision} with a spared partition`,
    {
      options: ['--media-type=cdrw', `--udfrev=${revision}`, '--spartable=2'],
      allocation: allocations[row] ?? '',
    },
  ]),
]);

const shortFormats = ['UDF 1.02 in blocks of 2048 bytes', 'UDF 2.01 in blocks of 512 bytes'];

const files: Files = {
  ...Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`many/file number ${index}.txt`, String(index)])),
  'empty.txt': '',
  'short.txt': 'short',
  'a block and more.bin': 'block '.repeat(2000),
  'large.bin': Array.from({ length: 200_000 }, (_, index) => index).join(' '),
  'empty folder/': '',
  'a/b/c/d/e/f/g/h/i/j/k/deep.txt': 'deep',
  'Übersicht/Grüße.txt': '8 bits',
  'Übersicht/日本語.txt': '16 bits',
  'Übersicht/𝄞.txt': 'two times 16 bits',
  [`${'n'.repeat(250)}.txt`]: 'the longest name',
  'to.txt -> short.txt': '',
  'a/b/up -> ../../short.txt': '',
  'absolute -> /etc/passwd': '',
  'out -> ../../../etc/passwd': '',
  'broken -> nowhere': '',
};

/** Makes files in pieces that alternate on the disc, one with holes, and one that is deleted later. */
function writePieces(folder: string): void {
  mkdirSync(folder);
  const open = (name: string) => openSync(join(folder, name), 'w');
  const [one, other, holes] = [open('one.bin'), open('other.bin'), open('holes.bin')];
  for (let round = 0; round < 40; round++) {
    for (const file of [one, other]) {
      writeSync(file, String(round).repeat(1500));
      // Otherwise the kernel waits, and gives each file its place in one piece.
      fsyncSync(file);
    }
    if (round % 10 === 3) writeSync(holes, 'between two holes', round * 100_000);
  }
  for (const file of [one, other, holes]) closeSync(file);
}

async function fill(folder: string, source: string): Promise<void> {
  await outputOf('cp', ['-a', '--', `${source}/.`, folder]);
  writePieces(join(folder, 'pieces'));
  await outputOf('rm', ['--', join(folder, 'many/file number 7.txt'), join(folder, 'many/file number 59.txt')]);
  await outputOf('mkfifo', ['--', join(folder, 'fifo')]);
}

/** Devices are never served. */
function withoutDevices(facts: Facts): Facts {
  return Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== 'device'));
}

async function format(file: string, options: readonly string[]): Promise<void> {
  const handle = await open(file, 'w');
  await handle.truncate(24 * 2 ** 20);
  await handle.close();
  await outputOf('mkudffs', ['--label=Disc', ...options, file]);
}

async function check(t: Test, folder: string, { options, allocation }: Format) {
  const image = join(folder, 'udf.img');
  await format(image, options);
  await withKernelMount(image, ['-t', 'udf', '-o', `loop,rw,${allocation}`], (point) =>
    fill(point, join(folder, 'source')),
  );
  const kernel = withoutDevices(await factsByKernel(image, 'udf'));
  const mount = await directDriver.mount({ id: 'x', path: image });
  t.equal(mount.view, 'udf');
  t.equal(mount.label, 'Disc');
  t.ok(Object.keys(kernel).length > 80, 'there is something to compare');
  t.same(await factsOf(mount.tree), kernel);
  await mount.unmount();
}

const folder = await mkdtemp(join(tmpdir(), 'udf-'));
await build(join(folder, 'source'), files);
t.teardown(() => rm(folder, { recursive: true, force: true }));

for (const name of part === 'short' ? shortFormats : Object.keys(allFormats)) {
  t.test(`the reader reads what the kernel writes: ${name}`, async (t) => {
    const format = allFormats[name];
    if (format === undefined) throw new Error(`There is no ${name}`);
    if (await needTools(t, 'mkudffs')) await check(t, folder, format);
  });
}
