import t from 'tap';
import { hole } from '../lib/tree.js';
import { contentOf, fill, startOf } from '../lib/tree-content.js';
import { openBytes, patternBytes, storeBytes } from './fixtures/open-file.js';
import { memoryFile } from './fixtures/memory-tree.js';

async function whole(content: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

t.test('reading goes on over short reads, and tells how much there was', async (t) => {
  const stored = patternBytes(1000);
  const file = await openBytes(await storeBytes(t, stored), [{ offset: 0, length: 1000 }]);
  t.teardown(() => file.close());
  const buffer = Buffer.alloc(700);
  t.equal(await fill(buffer, file.descriptor, 100), 700);
  t.ok(buffer.equals(stored.subarray(100, 800)));
  t.equal(await fill(buffer, file.descriptor, 900), 100);
  t.equal(await fill(buffer, file.descriptor, 1000), 0);
  await t.rejects(fill(buffer, 1_000_000, 0), { code: 'EBADF' });
});

t.test('the content of a file is that of its extents in order, holes as zeros', async (t) => {
  const stored = patternBytes(300_000);
  const extents = [
    { offset: 200_000, length: 100_000 },
    { offset: hole, length: 70_000 },
    { offset: 0, length: 10 },
  ];
  const file = await openBytes(await storeBytes(t, stored), extents);
  t.teardown(() => file.close());
  const expected = Buffer.concat([stored.subarray(200_000), Buffer.alloc(70_000), stored.subarray(0, 10)]);
  t.ok((await whole(contentOf(file))).equals(expected));
  t.ok((await startOf(file, 150_000)).equals(expected.subarray(0, 150_000)));
  t.equal((await startOf(file, 1_000_000)).length, 170_010);
});

t.test('a file that has become shorter ends where it ends', async (t) => {
  const file = await openBytes(await storeBytes(t, patternBytes(1000)), [
    { offset: 0, length: 5000 },
    { offset: 0, length: 5000 },
  ]);
  t.teardown(() => file.close());
  t.equal((await whole(contentOf(file))).length, 1000);
});

t.test('a file that is read by a function is read to its end', async (t) => {
  const bytes = patternBytes(200_000);
  t.ok((await whole(contentOf(memoryFile(bytes)))).equals(bytes));
  t.same(await startOf(memoryFile(bytes), 3), bytes.subarray(0, 3));
  t.equal((await whole(contentOf({ ...memoryFile(bytes), read: () => Promise.resolve(Buffer.alloc(0)) }))).length, 0);
});
