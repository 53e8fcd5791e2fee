import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkIso } from '../../lib/mount/check-iso.js';
import { descriptorsBelow, makeFifo } from '../fixtures/folder-setup.js';
import { smallIso } from '../fixtures/small-iso.js';

/** Zeros with an identifier in the sector of this number. */
function withIdentifier(identifier: string, sector: number, tail = 2048): Buffer {
  const bytes = Buffer.alloc(sector * 2048 + tail);
  bytes.write(identifier, sector * 2048 + 1, 'latin1');
  return bytes;
}

t.test('a file is an ISO when it has a volume descriptor of ISO 9660 or UDF where the standards put it', async (t) => {
  const good: [what: string, bytes: Buffer][] = [
    ['a small ISO', smallIso({ a: 'text' })],
    ['ISO 9660', withIdentifier('CD001', 16)],
    ['UDF', withIdentifier('BEA01', 16)],
    ['UDF behind other descriptors', withIdentifier('NSR02', 18)],
    ['UDF 2', withIdentifier('NSR03', 19)],
    ['the last sector that is looked at', withIdentifier('CD001', 79)],
  ];
  const folder = t.testdir({});
  for (const [what, bytes] of good) {
    await writeFile(join(folder, 'x'), bytes);
    await t.resolves(checkIso(join(folder, 'x')), what);
  }
});

t.test('anything else is no ISO', async (t) => {
  const bad: [what: string, bytes: Buffer][] = [
    ['an empty file', Buffer.alloc(0)],
    ['text', Buffer.from('<html>404 Not Found</html>')],
    ['zeros', Buffer.alloc(300_000)],
    ['shorter than the first descriptor', smallIso({}).subarray(0, 16 * 2048)],
    ['cut within the first descriptor', withIdentifier('CD001', 16, 2047)],
    ['an identifier in the system area', withIdentifier('CD001', 15)],
    ['an identifier too far behind', withIdentifier('CD001', 80)],
    ['an identifier at another place of its sector', Buffer.concat([Buffer.alloc(1), withIdentifier('CD001', 16)])],
    ['an identifier in small letters', withIdentifier('cd001', 16)],
  ];
  const folder = t.testdir({});
  for (const [what, bytes] of bad) {
    await writeFile(join(folder, 'x'), bytes);
    await t.rejects(checkIso(join(folder, 'x')), { name: 'ServiceError', code: 'NOT_AN_ISO' }, what);
  }
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('a FIFO, a socket, a folder and a device are refused, and nobody hangs', async (t) => {
  const folder = t.testdir({});
  // The path of a socket is at most 107 bytes long (unix(7)).
  const short = await mkdtemp(join(tmpdir(), 'check-iso-'));
  t.teardown(() => rm(short, { recursive: true }));
  const [fifo, socket, below] = [join(folder, 'fifo'), join(short, 'socket'), join(folder, 'folder')];
  await makeFifo(fifo);
  await mkdir(below);
  const server = createServer().listen(socket);
  await once(server, 'listening');
  t.teardown(() => server.close());
  for (const path of [fifo, socket, below, '/dev/null']) {
    const error: unknown = await checkIso(path).catch((error: unknown) => error);
    t.match(error, { name: 'ServiceError', code: 'BAD_REQUEST', message: 'The ISO is not a regular file' }, path);
  }
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('a missing file is not found', async (t) => {
  await t.rejects(checkIso(join(t.testdir({}), 'missing')), { code: 'NOT_FOUND' });
});

t.test('a real ISO is one', async (t) => {
  const real = '/usr/lib/ipxe/ipxe.iso';
  const isThere = await access(real).then(
    () => true,
    () => false,
  );
  const message = `${real} is missing; Debian's package of it is ipxe`;
  if (isThere) await t.resolves(checkIso(real));
  else if (process.env['CI'] === undefined) t.pass(message, { skip: message });
  else t.fail(message);
});
