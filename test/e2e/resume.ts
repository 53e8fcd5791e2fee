import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { curl, environment, fileOf, needs, settledImage, sha256, tool } from '../fixtures/e2e-tools.js';
import { beginUpload, writePart } from '../fixtures/e2e-upload.js';
import { type TestProcess, startProcess } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

const withCurl = await needs('curl');
const iso = smallIso({ kernel: 'Linux', 'initrd.gz': randomBytes(12_000_000) });

/** What the service says of a file that has not arrived whole. */
async function arrived(north: string, path: string) {
  const { status, headers } = await ask(north, path, { method: 'HEAD' });
  const number = (name: string) => (headers[name] === undefined ? undefined : Number(headers[name]));
  return {
    status,
    offset: number('upload-offset'),
    length: number('upload-length'),
    isComplete: headers['upload-complete'] === '?1',
  };
}

/** Sends the first bytes of a file and then breaks off. */
async function sendPart(t: Test, north: string, path: string, bytes: Buffer, length: number): Promise<void> {
  const upload = beginUpload(north, path, length);
  await writePart(upload, bytes);
  await waitFor('the bytes', async () => (await arrived(north, path)).offset === bytes.length);
  upload.request.destroy();
  await upload.ended;
  t.match(await arrived(north, path), { status: 204, length, isComplete: false });
}

async function start(t: Test, settings = {}): Promise<TestProcess & { folder: string; file: string }> {
  const folder = await temporaryFolder(t);
  const file = await fileOf(folder, 'my.iso', iso);
  await mkdir(join(folder, 'static'));
  return { ...(await startProcess(t, folder, settings)), folder, file };
}

function leftovers(folder: string, store = 'iso'): Promise<string[]> {
  const names = readdir(join(folder, 'static', store, '.image-service'));
  return names.then((all) => all.filter((name) => /\.part$|^[0-9a-f]{32}\.json$/.test(name)));
}

const routes: [what: string, path: string, served: string][] = [
  ['an ISO', '/iso?name=my.iso', '/iso/my.iso'],
  ['a microkernel', '/microkernel?name=vmlinuz', '/common/vmlinuz'],
  ['the ISO of an image', '/images?name=n&version=1&isoclient=n.iso', '/iso/n.iso'],
];
for (const [what, path, served] of routes) {
  t.test(`curl goes on with ${what} where a killed curl was`, withCurl, async (t) => {
    const { north, south, folder, file } = await start(t);
    const args = ['-sS', '--limit-rate', '4M', '-T', file, north + path];
    const child = spawn('curl', args, { env: environment, stdio: 'ignore' });
    await waitFor('a part of it', async () => ((await arrived(north, path)).offset ?? 0) > 1_000_000);
    child.kill('SIGINT');
    await once(child, 'close');
    t.equal((await ask(south, served)).status, 404, 'what is not complete is not served');
    t.same(json(await ask(north, path.replace(/\?.*/, ''))), [], 'nor listed');
    const told = await tool('curl', ['-sI', '-o', '/dev/null', '-w', '%header{upload-offset}', north + path]);
    t.match(told.stdout, /^\d+$/);
    const { code, status, text, sent } = await curl(['-C', told.stdout, '-T', file, north + path]);
    t.same([code, status], [0, 200]);
    t.match(text, /^Uploaded 10 %\n.*Uploaded 100 %\nUpload finished!\n$/s);
    t.equal(sent, iso.length - Number(told.stdout), 'only the rest was sent');
    t.ok((await ask(south, served)).body.equals(iso));
    t.same(await leftovers(folder), []);
    if (path.startsWith('/images')) t.match(await settledImage(north, 'n'), { status: 'OK', sha256: sha256(iso) });
    else t.match(json(await ask(north, path.replace(/\?.*/, ''))), [{ sha256: sha256(iso) }]);
  });
}

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  t.test(`an upload goes on after a ${signal} of the service`, withCurl, async (t) => {
    const service = await start(t, { stopTimeout: 100 });
    const path = '/iso?name=my.iso';
    const upload = beginUpload(service.north, path, iso.length);
    await writePart(upload, iso.subarray(0, 5_000_000));
    await waitFor('the bytes', async () => (await arrived(service.north, path)).offset === 5_000_000);
    await service.end(signal);
    await upload.ended;
    const again = await startProcess(t, service.folder);
    t.match(await arrived(again.north, path), { status: 204, offset: 5_000_000, length: iso.length });
    t.same(json(await ask(again.north, '/iso')), []);
    const { code, status } = await curl(['-C', '5000000', '-T', service.file, again.north + path]);
    t.same([code, status], [0, 200]);
    t.match(json(await ask(again.north, '/iso')), [{ name: 'my.iso', sha256: sha256(iso) }]);
    t.ok((await ask(again.south, '/iso/my.iso')).body.equals(iso));
  });
}

t.test('a part that does not begin where the last one ended is 409, with the right place', withCurl, async (t) => {
  const { north, south, file } = await start(t);
  const path = '/iso?name=my.iso';
  await sendPart(t, north, path, iso.subarray(0, 3_000_000), iso.length);
  const other = await fileOf(await temporaryFolder(t), 'other.iso', iso.subarray(0, 9_000_000));
  const cases: [offset: string, file: string, expected: number][] = [
    ['2999999', file, 3_000_000],
    ['3000001', file, 3_000_000],
    ['3000000', other, 0],
  ];
  for (const [offset, sent, expected] of cases) {
    const { status, text } = await curl(['-D', '-', '-C', offset, '-T', sent, north + path]);
    t.equal(status, 409, `${offset} of ${sent}`);
    t.match(text, new RegExp(`^upload-offset: ${expected}\\r$`, 'im'));
    t.match(text, new RegExp(`: ${expected} bytes of it are there`));
  }
  t.match(await arrived(north, path), { offset: 3_000_000 }, 'and what was there stays');
  const nowhere = await curl(['-C', '1000', '-T', file, `${north}/iso?name=nowhere.iso`]);
  t.match(nowhere, { status: 409, text: /0 bytes of it are there/ });
  t.equal((await ask(south, '/iso/nowhere.iso')).status, 404);
  t.equal((await arrived(north, '/iso?name=nowhere.iso')).status, 404);
});

t.test('curl -C -, and any plain upload, begins anew', withCurl, async (t) => {
  const { north, south, file, folder } = await start(t);
  for (const args of [
    ['-C', '-', '-T', file],
    ['-T', file],
    ['-F', `file=@${file}`],
  ]) {
    const path = '/iso?name=my.iso';
    await sendPart(t, north, path, randomBytes(3_000_000), iso.length);
    t.equal((await curl([...args, north + path])).status, 200);
    t.ok((await ask(south, '/iso/my.iso')).body.equals(iso));
    t.same(await leftovers(folder), []);
    t.equal((await ask(north, path, { method: 'DELETE' })).status, 200);
  }
});

t.test('an upload that would replace a file leaves it as it is until the last byte', withCurl, async (t) => {
  const { north, south, file } = await start(t);
  const path = '/iso?name=my.iso';
  await ask(north, path, { method: 'PUT', body: 'the old one' });
  t.match(await arrived(north, path), { status: 204, offset: 11, length: 11, isComplete: true });
  await sendPart(t, north, path, iso.subarray(0, 3_000_000), iso.length);
  t.equal((await ask(south, '/iso/my.iso')).text, 'the old one');
  t.match(json(await ask(north, '/iso')), [{ bytes: 11 }]);
  t.equal((await curl(['-C', '3000000', '-T', file, north + path])).status, 200);
  t.ok((await ask(south, '/iso/my.iso')).body.equals(iso));
});

t.test('what was interrupted goes with a DELETE, and when its time is over', async (t) => {
  const service = await start(t, { uploadTtl: 3_600_000 });
  const { north, folder } = service;
  const path = '/microkernel?name=vmlinuz';
  await sendPart(t, north, path, iso.subarray(0, 1000), iso.length);
  // It is busy as long as the service has not noticed that the client is gone.
  let removed = await ask(north, path, { method: 'DELETE' });
  while (removed.status === 409) removed = await ask(north, path, { method: 'DELETE' });
  t.match(json(removed), { name: 'vmlinuz', bytes: 1000 });
  t.same(await leftovers(folder, 'common'), []);
  t.equal((await arrived(north, path)).status, 404);
  t.equal((await ask(north, path, { method: 'DELETE' })).status, 404);

  await sendPart(t, north, path, iso.subarray(0, 1000), iso.length);
  await service.end('SIGTERM');
  const [part = ''] = (await leftovers(folder, 'common')).filter((name) => name.endsWith('.part'));
  const past = Date.now() / 1000 - 3601;
  await utimes(join(folder, 'static/common/.image-service', part), past, past);
  const again = await startProcess(t, folder, { uploadTtl: 3_600_000 });
  t.same(await leftovers(folder, 'common'), []);
  t.equal((await arrived(again.north, path)).status, 404);
});

t.test('a part in a form, and one from the middle of a file, are refused and stored nowhere', withCurl, async (t) => {
  const { north, file, folder } = await start(t);
  const path = `${north}/iso?name=my.iso`;
  const form = await curl(['-F', `file=@${file}`, '-H', 'Content-Range: bytes 0-9/10', path]);
  t.match(form, { status: 400, text: /form is sent as a whole|Content-Length is not 10/ });
  const middle = await curl(['-T', file, '-H', `Content-Range: bytes 10-${iso.length + 9}/${iso.length + 50}`, path]);
  t.match(middle, { status: 400, text: /does not go to the end of the file/ });
  t.same(json(await ask(north, '/iso')), []);
  t.same(await leftovers(folder), []);
});

t.test(
  'while an upload is arriving a second one of its name is 409 with Retry-After, also one that goes on',
  async (t) => {
    const { north, south } = await start(t);
    const path = '/iso?name=my.iso';
    const upload = beginUpload(north, path, iso.length);
    await writePart(upload, iso.subarray(0, 1_000_000));
    await waitFor('the bytes', async () => (await arrived(north, path)).offset === 1_000_000);
    const rest = { 'Content-Range': `bytes 1000000-${iso.length - 1}/${iso.length}` };
    for (const headers of [{}, rest]) {
      const body = iso.subarray('Content-Range' in headers ? 1_000_000 : 0);
      const answer = await ask(north, path, { method: 'PUT', body, headers });
      t.match({ status: answer.status, ...(json(answer) as object) }, { status: 409, code: 'BUSY' });
      t.match(answer.headers['retry-after'], /^\d+$/);
    }
    t.equal((await ask(north, path, { method: 'DELETE' })).status, 409, 'nor can it be deleted');
    upload.request.end(iso.subarray(1_000_000));
    t.match(await upload.ended, { status: 200, text: /Upload finished!\n$/ });
    t.ok((await ask(south, '/iso/my.iso')).body.equals(iso));
  },
);
