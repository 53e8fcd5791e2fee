import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { type IsoFile, sectorBytes } from '../../lib/iso/entries.js';
import { ZisofsReader } from '../../lib/iso/zisofs.js';
import { field, folderRecord, IsoBuilder, linkFields, record, rootFields, ucs2 } from '../fixtures/iso-builder.js';
import { needFile, realIsos } from '../fixtures/iso-tools.js';
import { examine } from '../fixtures/iso-examination.js';
import { readerOf } from '../fixtures/iso-volume.js';
import { Random } from '../fixtures/random.js';
import { compress } from '../fixtures/zisofs.js';

/** Bytes that sit on the borders of what a field may hold. */
const borders = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 28, 33, 34, 255] as const;

/** The most that one image has cost so far. */
const most = { reads: 0, bytes: 0 };

const compressed = compress(Buffer.alloc(50_000, 'text '), 2 ** 15);

/** A small image with all that the reader knows: Rock Ridge, Joliet, links, continuations, relocation, compression. */
function everything(): Buffer {
  const builder = new IsoBuilder().descriptor({ rootBlock: 20, blocks: 64 });
  builder.descriptor({ type: 2, rootBlock: 30, escape: '%/E', blocks: 64 }).terminator();
  const named = (name: string, ...fields: Buffer[]) => Buffer.concat([field.nm(name), field.px(0o100644), ...fields]);
  builder.folder(
    20,
    [
      record('A.;1', { block: 40, length: 3000, systemUse: named('file a') }),
      record('B.;1', { block: 42, length: 2 * sectorBytes, flags: 0x80, systemUse: named('big') }),
      record('B.;1', { block: 44, length: 100, systemUse: named('big') }),
      record('C.;1', { systemUse: Buffer.concat([field.nm('half a', 1), field.ce(50, 10, 200)]) }),
      record('L.;1', { systemUse: Buffer.concat([field.nm('link'), linkFields('dir/../file a')]) }),
      folderRecord('DIR', 21, sectorBytes, { systemUse: field.nm('dir') }),
      folderRecord('RR_MOVED', 22, sectorBytes, { systemUse: field.nm('rr_moved') }),
      record('Z.;1', { block: 52, length: compressed.length, systemUse: named('packed', field.zf(16, 15, 50_000)) }),
      record('DEEP', { systemUse: Buffer.concat([field.nm('deep'), field.cl(23)]) }),
    ],
    rootFields,
  );
  builder.folder(
    21,
    [record('D.;1', { block: 40, length: 5, systemUse: named('inside', linkFields('.')) })],
    undefined,
    20,
  );
  builder.folder(22, [folderRecord('DEEP', 23, sectorBytes, { systemUse: field.re() })], undefined, 20);
  builder.folder(23, [record('E.;1', { block: 41, length: 9, systemUse: named('bottom') })], field.pl(20), 22);
  builder.folder(30, [record(ucs2('Datei ü'), { block: 40, length: 3000 }), folderRecord(ucs2('Ordner'), 31)]);
  builder.folder(31, [record(ucs2('Innen'), { block: 40, length: 5 })], undefined, 30);
  builder.put(50, Buffer.concat([Buffer.alloc(10), field.nm(' name', 1), field.ce(51, 0, 60)]));
  builder.put(51, field.nm(' in three parts')).put(52, compressed);
  return builder.put(63, 'the end').build();
}

/** Changes some bytes, within these sectors, and gives back what undoes it. */
function mutate(image: Buffer, random: Random, sectors: readonly [number, ...number[]]): () => void {
  const undo: [at: number, byte: number][] = [];
  for (let changes = 1 + random.below(8); changes > 0; changes--) {
    const start = random.pick(sectors) * sectorBytes + random.below(random.below(4) === 0 ? sectorBytes : 400);
    const run = random.below(6) === 0 ? 4 : 1;
    const byte = random.below(2) === 0 ? random.pick(borders) : random.below(256);
    for (let at = start; at < start + run; at++) {
      undo.push([at, image.readUInt8(at)]);
      image.writeUInt8(byte, at);
    }
  }
  return () => {
    for (const [at, byte] of undo.reverse()) image.writeUInt8(byte, at);
  };
}

/** What a mutated image may cost: bytes changed here and there make no folders longer than a few images. */
const maxReads = 200;
const maxBytesRead = 16 * 2 ** 20;

/** Looks at everything in an image, follows its links, and gives the code of the error that ends that. */
async function explore(t: Test, image: Buffer): Promise<string> {
  const { error, entries, faults, reads, bytes } = await examine(image, 2000);
  for (const fault of faults) t.fail(fault);
  most.reads = Math.max(most.reads, reads);
  most.bytes = Math.max(most.bytes, bytes);
  if (reads > maxReads || bytes > maxBytesRead) t.fail(`${reads} reads of ${bytes} bytes for ${entries.size} entries`);
  for (const entry of entries.values()) if (entry.type === 'file') await readCompressed(t, image, entry);
  return error ?? 'opened';
}

/** Reads a compressed file here and there. */
async function readCompressed(t: Test, image: Buffer, { extents, zisofs }: IsoFile): Promise<void> {
  if (zisofs === undefined) return;
  const reader = new ZisofsReader(readerOf(image), extents, zisofs);
  for (const position of [0, Math.floor(zisofs.size / 2), zisofs.size - 1]) {
    if (position < 0) continue;
    try {
      const { length } = await reader.read(position, 10);
      if (length < 1 || length > 10) t.fail(`${length} bytes of a compressed file`);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
    }
  }
}

/** Explores mutated images until so many are done; gives how often each way of ending came. */
async function fuzz(t: Test, image: Buffer, sectors: readonly [number, ...number[]], rounds: number, seed: number) {
  const random = new Random(seed);
  const outcomes = new Map<string, number>();
  let slowest = 0;
  for (let round = 0; round < rounds; round++) {
    const restore = mutate(image, random, sectors);
    const start = performance.now();
    const outcome = await explore(t, image);
    slowest = Math.max(slowest, performance.now() - start);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    restore();
  }
  t.comment(`${JSON.stringify([...outcomes])}, slowest ${slowest.toFixed(0)} ms, ${JSON.stringify(most)}`);
  return outcomes;
}

t.test('an image with broken bytes anywhere in its structures is read or refused', async (t) => {
  const image = everything();
  const whole = await explore(t, image);
  t.equal(whole, 'opened');
  const outcomes = await fuzz(t, image, [16, 17, 18, 20, 21, 22, 23, 30, 31, 50, 51, 52], 4000, 1);
  t.ok((outcomes.get('opened') ?? 0) > 2000, 'most of them can still be read');
  t.ok(outcomes.size > 2, 'and some cannot');
});

t.test('a real ISO with broken bytes is read or refused', async (t) => {
  const path = realIsos[1];
  if (!(await needFile(t, path))) return;
  const image = await readFile(path);
  const outcomes = await fuzz(t, image, [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28], 4000, 2);
  t.ok((outcomes.get('opened') ?? 0) > 2000, 'most of them can still be read');
});

t.test('an image that is cut off anywhere is read or refused', async (t) => {
  const image = everything();
  for (let sectors = 0; sectors < 64; sectors++) {
    for (const extra of [0, 1, 1000]) await explore(t, image.subarray(0, sectors * sectorBytes + extra));
  }
  t.equal(await explore(t, image.subarray(0, 41 * sectorBytes)), 'TRUNCATED');
});

t.test('noise that begins like an ISO is read or refused', async (t) => {
  const random = new Random(3);
  for (let round = 0; round < 300; round++) {
    const image = everything();
    const sector = random.pick([20, 21, 22, 23, 50]);
    for (let at = sector * sectorBytes + 34 * random.below(3); at < (sector + 1) * sectorBytes; at++)
      image[at] = random.below(256);
    await explore(t, image);
  }
  t.pass('every image came to an end');
});
