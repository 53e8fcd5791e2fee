import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { needs, settledImage } from '../fixtures/e2e-tools.js';
import { field, record, rootFields } from '../fixtures/iso-builder.js';
import { zisofsByMkzftree, zisofsByXorriso } from '../fixtures/iso-tools.js';
import { ROOT, rockRidge } from '../fixtures/iso-volume.js';
import { startProcess } from '../fixtures/process.js';
import { Random } from '../fixtures/random.js';
import { temporaryFolder } from '../fixtures/service.js';
import { compressBlocks, joinBlocks } from '../fixtures/zisofs.js';

const text = Buffer.from(Array.from({ length: 400_000 }, (_, line) => `line ${line * line}\n`).join(''));

/** Serves an ISO where it lies; its files are below `/disc/1/`. */
async function serve(t: Test, folder: string, iso: string): Promise<string> {
  const { north, south } = await startProcess(t, folder);
  const path = `/images?name=disc&version=1&isolocal=${encodeURIComponent(iso)}`;
  await ask(north, path, { method: 'PUT' });
  t.match(await settledImage(north, 'disc'), { status: 'OK' });
  return south;
}

const makers = {
  mkzftree: (iso: string, source: string) => zisofsByMkzftree(iso, source),
  xorriso: (iso: string, source: string) => zisofsByXorriso(iso, source, 'level=9:block_size=128k'),
};

const withTools = await needs('mkzftree', 'genisoimage', 'xorriso');

for (const [name, make] of Object.entries(makers)) {
  t.test(`files that ${name} compressed are served decompressed`, withTools, async (t) => {
    const folder = await temporaryFolder(t);
    const source = join(folder, 'source');
    await mkdir(source);
    await writeFile(join(source, 'numbers.txt'), text);
    const iso = join(folder, 'a.iso');
    await make(iso, source);
    t.ok((await stat(iso)).size < text.length, 'the ISO is smaller than the file in it');
    const south = await serve(t, folder, iso);
    const url = '/disc/1/numbers.txt';

    const got = await ask(south, url);
    t.equal(got.headers['content-length'], String(text.length));
    t.ok(got.body.equals(text));
    const head = await ask(south, url, { method: 'HEAD' });
    t.equal(head.headers['content-length'], String(text.length));
    t.equal(head.headers.etag, got.headers.etag);
    t.match(json(await ask(south, '/disc/1/?format=json')), [{ name: 'numbers.txt', size: text.length }]);

    const random = new Random(1);
    for (let round = 0; round < 30; round++) {
      const start = random.below(text.length);
      const end = Math.min(text.length - 1, start + random.below(500_000));
      const answer = await ask(south, url, { headers: { Range: `bytes=${start}-${end}` } });
      if (answer.status !== 206 || !answer.body.equals(text.subarray(start, end + 1))) t.fail(`${start} to ${end}`);
    }
    const several = await ask(south, url, { headers: { Range: 'bytes=0-4,200000-200004,-3' } });
    t.equal(several.status, 206);
    for (const part of [text.subarray(0, 5), text.subarray(200_000, 200_005), text.subarray(-3)]) {
      t.ok(several.body.includes(part));
    }
  });
}

t.test('a compressed file that breaks off is cut, and one that cannot begin is an error', async (t) => {
  const folder = await temporaryFolder(t);
  const blocks = compressBlocks(text, 2 ** 15);
  const late = joinBlocks(blocks.with(40, Buffer.from('no stream of zlib')));
  const early = joinBlocks(blocks.with(0, Buffer.from('no stream of zlib')));
  const named = (name: string, stored: Buffer, block: number) => {
    const systemUse = Buffer.concat([field.nm(name), field.zf(16, 15, text.length)]);
    return record('X;1', { block, length: stored.length, systemUse });
  };
  const image = rockRidge([], (builder) => {
    builder.folder(ROOT, [named('late', late, 100), named('early', early, 2000)], rootFields);
    builder.put(100, late).put(2000, early);
  });
  const iso = join(folder, 'a.iso');
  await writeFile(iso, image);
  const south = await serve(t, folder, iso);
  const cut = await ask(south, '/disc/1/late');
  t.match(cut, { status: 200, complete: false });
  t.ok(cut.body.equals(text.subarray(0, cut.body.length)), 'what came is right');
  const before = await ask(south, '/disc/1/late', { headers: { Range: 'bytes=1000-2000' } });
  t.ok(before.body.equals(text.subarray(1000, 2001)), 'what is whole can be had');
  const broken = await ask(south, '/disc/1/early');
  t.equal(broken.status, 422);
  t.match(broken.text, /compressed file/);
});
