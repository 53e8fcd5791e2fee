import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ask, json } from '../fixtures/client.js';
import { boastingClients, uploadClients, wgetWith } from '../fixtures/e2e-clients.js';
import { smallIso } from '../fixtures/small-iso.js';
import { curl, fileOf, needs, pythonWithRequests, sha256, tool } from '../fixtures/e2e-tools.js';
import { startProcess } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';

const withTools = await needs('curl', 'wget');
const python = await pythonWithRequests();
if (python === undefined && process.env['CI']) throw new Error('Missing here: python3 with requests');
const everyClient = python === undefined ? { skip: 'missing here: python3 with requests' } : withTools;

const folder = await temporaryFolder(t);
const service = await startProcess(t, folder);
const { north, south } = service;
const noise = randomBytes(20_000_000);
const noiseFile = await fileOf(folder, 'noise', noise);
const iso = smallIso({ kernel: 'Linux', 'initrd.gz': randomBytes(3_000_000) });
const isoFile = await fileOf(folder, 'an.iso', iso);

const percentages = Array.from({ length: 10 }, (_, index) => `Uploaded ${(index + 1) * 10} %\n`).join('');

function stored(name: string): Promise<Buffer> {
  return readFile(join(folder, 'static/iso', name));
}

t.test('every client sees why an upload is refused, with 20 MB of body on the way', everyClient, async (t) => {
  await curl(['-T', isoFile, `${north}/images?name=taken&version=1&isoclient=taken.iso`]);
  const refusals: readonly [status: number, path: string, pattern: RegExp][] = [
    [409, '/images?name=taken&version=1&isoclient=other.iso', /Image already exists/],
    [400, '/images?name=a%2Fb&version=1&isoclient=other.iso', /no slash/],
    [400, '/iso?name=..%2Fother.iso', /no slash/],
    [404, '/isos?name=other.iso', /nothing at this URL/],
  ];
  for (const [name, upload] of Object.entries(uploadClients(python ?? ''))) {
    for (const [status, path, pattern] of refusals) {
      const told = await upload(north + path, noiseFile);
      t.equal(told.status, status, `${name} sees ${status} for ${path}`);
      if (name !== 'wget') t.equal(told.code, 0, `${name} does not stumble over the connection`);
      else t.equal(told.code, 8, 'wget exits with 8, the server answered an error');
      t.match(told.text, pattern, `${name} shows the reason`);
    }
  }
  t.same(await ask(south, '/iso/other.iso').then(({ status }) => status), 404, 'and nothing is stored');
});

t.test('a refused upload over a slow line ends at once, not when all is sent', withTools, async (t) => {
  const { status, code, sent } = await curl([...['--limit-rate', '1M', '-T', noiseFile], `${north}/iso?name=..`]);
  t.same([status, code], [400, 0]);
  t.ok(sent < 10_000_000, `${sent} bytes were sent, of 20 MB`);
});

t.test('a file larger than the disk is refused before it is sent', everyClient, async (t) => {
  for (const [name, upload] of Object.entries(boastingClients(python ?? '', String(2 ** 52)))) {
    const told = await upload(`${north}/iso?name=huge.iso`, noiseFile);
    t.equal(told.status, 507, name);
    t.match(told.text, /NO_SPACE/, name);
  }
});

t.test('an upload without a body or a length is refused with 411', withTools, async (t) => {
  const { status, text } = await curl(['-X', 'PUT', `${north}/iso?name=nothing.iso`]);
  t.equal(status, 411);
  t.match(JSON.parse(text), { code: 'LENGTH_REQUIRED' });
});

t.test('a failure after the progress lines is a failure for every client', everyClient, async (t) => {
  const url = `${north}/images?name=late&version=1&isoclient=late.iso`;
  const expected: Readonly<Record<string, readonly [code: number, text: RegExp]>> = {
    'curl -T': [18, /Uploaded 100 %\nUpload failed: The file is not an ISO/],
    'curl --data-binary': [18, /Uploaded 100 %\nUpload failed: The file is not an ISO/],
    'curl --http1.0': [0, /"code": "NOT_AN_ISO"[^]*status 422/],
    wget: [4, /Uploaded 100 %\nUpload failed: The file is not an ISO/],
    'Python http.client': [1, /IncompleteRead/],
    'Python urllib': [1, /IncompleteRead/],
    'Python requests': [1, /ChunkedEncodingError/],
  };
  for (const [name, upload] of Object.entries(uploadClients(python ?? ''))) {
    const told = await upload(url, noiseFile);
    const [code, text] = expected[name] ?? [];
    t.equal(told.code, code, name);
    t.match(told.text, text, name);
  }
  t.same(json(await ask(north, '/images?name=late')), [], 'and there is no image');
  t.equal((await ask(south, '/iso/late.iso')).status, 404, 'and no file');
});

t.test('wget tries a failed upload again, and finds the name free each time', withTools, async (t) => {
  const told = await wgetWith(3)(`${north}/images?name=again&version=1&isoclient=again.iso`, noiseFile);
  t.equal(told.code, 4);
  // It shows each answer's header, and of the second and third body only what it has not had before.
  t.equal(told.text.match(/HTTP\/1.1 200 OK/g)?.length, 3, 'each time the whole file was taken');
  t.match(told.text, /Upload failed: The file is not an ISO/);
  t.notMatch(told.text, /409|BUSY/);
});

t.test('curl shows the progress as documented', withTools, async (t) => {
  t.match(await curl(['-T', noiseFile, `${north}/iso?name=progress.iso`]), {
    code: 0,
    status: 200,
    text: `${percentages}Upload finished!\n`,
  });
  t.ok((await stored('progress.iso')).equals(noise));
  t.match(await curl(['-T', isoFile, `${north}/images?name=progress&version=1&isoclient=one.iso`]), {
    code: 0,
    status: 200,
    text: `${percentages}Upload finished!\n`,
  });
});

t.test('a client that names its file a form has exactly its bytes stored', withTools, async (t) => {
  const odd = await fileOf(folder, 'odd', 'name=other.iso&a=%41&b=+\r\n\0');
  const bytes = await readFile(odd);
  await curl(['-X', 'PUT', '--data-binary', `@${odd}`, `${north}/iso?name=curl.iso`]);
  t.ok((await stored('curl.iso')).equals(bytes));
  t.equal((await wgetWith(1)(`${north}/iso?name=wget.iso`, odd)).code, 0);
  t.ok((await stored('wget.iso')).equals(bytes));
  const json = ['-H', 'Content-Type: application/json', '--data-binary', `@${isoFile}`];
  await curl(['-X', 'PUT', ...json, `${north}/images?name=form&version=1&isoclient=form.iso`]);
  t.ok((await stored('form.iso')).equals(iso));
});

t.test('a browser form works, with POST and with PUT', withTools, async (t) => {
  const posted = await curl(['-F', `file=@${noiseFile};filename=ä b.iso`, `${north}/iso?name=posted.iso`]);
  t.match(posted, { code: 0, status: 200, text: 'Upload finished!\n' });
  t.ok((await stored('posted.iso')).equals(noise));
  const form = ['-F', 'name=form', '-F', 'version=2', '-F', `file=@${isoFile};filename=second.iso`];
  t.match(await curl(['-X', 'PUT', ...form, `${north}/images`]), { code: 0, status: 200 });
  t.ok((await stored('second.iso')).equals(iso));
  t.equal((await ask(south, '/form/2/kernel')).text, 'Linux');
});

t.test(
  'a client that accepts JSON gets one answer: 201 for a new file, 200 for a replaced one',
  withTools,
  async (t) => {
    const put = (file: string) => curl(['-H', 'Accept: application/json', '-T', file, `${north}/iso?name=json.iso`]);
    const first = await put(isoFile);
    t.equal(first.status, 201);
    t.match(JSON.parse(first.text), { name: 'json.iso', bytes: iso.length, sha256: sha256(iso) });
    const second = await put(noiseFile);
    t.equal(second.status, 200);
    t.match(JSON.parse(second.text), { name: 'json.iso', size: '20.00 MB', sha256: sha256(noise) });
    const image = ['-H', 'Accept: application/json', '-T'];
    const added = await curl([...image, isoFile, `${north}/images?name=json&version=1&isoclient=j.iso`]);
    t.equal(added.status, 201);
    t.match(JSON.parse(added.text), { name: 'json', version: '1', iso: 'j.iso' });
    const refused = await curl([...image, noiseFile, `${north}/images?name=json&version=2&isoclient=j2.iso`]);
    t.equal(refused.status, 422, 'a late failure keeps its true status');
    t.match(JSON.parse(refused.text), { code: 'NOT_AN_ISO' });
  },
);

t.test('HTTP/1.0 and chunked uploads have only the last line', withTools, async (t) => {
  const old = await curl(['-0', '-T', noiseFile, `${north}/iso?name=old.iso`]);
  t.match(old, { code: 0, status: 200, text: 'Upload finished!\n' });
  t.ok((await stored('old.iso')).equals(noise));
  const text = 'from standard input\n'.repeat(50_000);
  const chunked = await curl(['-T', '-', `${north}/iso?name=chunked.iso`], text);
  t.match(chunked, { code: 0, status: 200, text: 'Upload finished!\n' });
  t.equal((await stored('chunked.iso')).toString(), text);
});

t.test('curl and wget continue an interrupted download', withTools, async (t) => {
  await curl(['-T', noiseFile, `${north}/iso?name=continued.iso`]);
  for (const [command, ...args] of [
    ['curl', '-sS', '-C', '-', '-o'],
    ['wget', '-q', '-c', '-O'],
  ] as const) {
    const part = await fileOf(folder, 'part', noise.subarray(0, 7_654_321));
    const { code } = await tool(command, [...args, part, `${south}/iso/continued.iso`]);
    t.equal(code, 0, command);
    t.ok((await readFile(part)).equals(noise), command);
  }
});

t.test('a body that nobody needs does not keep any client from its answer', everyClient, async (t) => {
  await curl(['-T', isoFile, `${north}/iso?name=needless.iso`]);
  for (const [index, [name, upload]] of Object.entries(uploadClients(python ?? '')).entries()) {
    const query = `name=needless&version=${index}&isostore=needless.iso&isoclient=z.iso`;
    const told = await upload(`${north}/images?${query}`, noiseFile);
    t.match(told, { status: 202, code: 0, text: /"iso": "needless\.iso"/ }, name);
    t.equal((await ask(south, `/needless/${index}/kernel`)).text, 'Linux', name);
  }
  t.equal((await ask(south, '/iso/z.iso')).status, 404, 'and nothing of it is stored');
});
