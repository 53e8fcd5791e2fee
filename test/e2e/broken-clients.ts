import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Attempt, interrupt, startTool, Victim } from '../fixtures/broken-clients.js';
import { ask } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { curl, fileOf, needs } from '../fixtures/e2e-tools.js';
import { temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

const withCurl = await needs('curl');
const withWget = await needs('wget');
const withPython = await needs('python3');

t.setTimeout(120_000);

const folder = await temporaryFolder(t);
const noiseFile = await fileOf(folder, 'noise', randomBytes(20_000_000));
// Long enough that no client is through with it before it is stopped, and nothing but a hole on the disk.
const endlessFile = await fileOf(folder, 'endless', '');
await truncate(endlessFile, 8 * 1024 ** 3);

const victim = await Victim.start(t);
const { north, south } = victim;

const slowly = ['-sS', '--noproxy', '*', '--limit-rate', '1M', '-o', '/dev/null'];

t.test('curl that is stopped with ^C in the middle of an upload leaves nothing behind', withCurl, (t) => {
  const ways: readonly [name: string, route: Attempt['route'], options: readonly string[]][] = [
    ['curl -T', 'iso', ['-T', noiseFile]],
    ['curl -T of a microkernel', 'microkernel', ['-T', noiseFile]],
    ['curl -T of an image', 'images', ['-T', noiseFile]],
    ['curl --data-binary', 'iso', ['-X', 'PUT', '--data-binary', `@${noiseFile}`]],
    ['curl -0', 'iso', ['-0', '-T', noiseFile]],
    ['curl -F', 'iso', ['-F', `file=@${noiseFile}`]],
    ['curl -F of an image', 'images', ['-F', `file=@${noiseFile}`]],
    ['curl -T -, whose input goes on', 'iso', ['-T', '-']],
    ['curl -T - of an image', 'images', ['-T', '-']],
  ];
  for (const [name, route, options] of ways) {
    t.test(name, async (t) => {
      const attempt = victim.attempt(route);
      const client = startTool(t, 'curl', [...slowly, ...options, north + attempt.path]);
      client.stdin?.write(randomBytes(300_000));
      await victim.untilArriving();
      await interrupt(client);
      await victim.check(t, attempt);
    });
  }
  t.end();
});

t.test('a file that curl was about to replace stays as it was', withCurl, async (t) => {
  const attempt = victim.attempt('iso');
  const former = randomBytes(500_000);
  await ask(north, attempt.path, { method: 'PUT', body: former });
  const client = startTool(t, 'curl', [...slowly, '-T', noiseFile, north + attempt.path]);
  await victim.untilArriving();
  await interrupt(client);
  await victim.check(t, attempt, former);
});

t.test('a curl that is killed outright leaves nothing behind either', withCurl, async (t) => {
  const attempt = victim.attempt('iso');
  const client = startTool(t, 'curl', [...slowly, '-T', noiseFile, north + attempt.path]);
  await victim.untilArriving();
  client.kill('SIGKILL');
  await once(client, 'close');
  await victim.check(t, attempt);
});

t.test('curl with Expect: 100-continue does not send a byte of what is refused', withCurl, async (t) => {
  const other = victim.attempt('images');
  await ask(north, other.path, { method: 'PUT', body: smallIso({ kernel: 'Linux' }) });
  const arriving = victim.attempt('iso');
  const holder = await Connection.open(north);
  holder.send(`PUT ${arriving.path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nthe first bytes`);
  await victim.untilArriving();
  const refusals: readonly [status: number, path: string, options?: readonly string[]][] = [
    [409, other.path],
    [409, `/images?name=new&version=1&isoclient=${other.file}`],
    [409, arriving.path],
    [409, `/images?name=new&version=1&isoclient=${arriving.file}`],
    [507, victim.attempt('iso').path, ['-H', `Content-Length: ${2 ** 52}`]],
    [507, victim.attempt('images').path, ['-H', `Content-Length: ${2 ** 52}`]],
    [400, '/iso?name=..'],
    [400, '/images?name=a%2Fb&version=1&isoclient=a.iso'],
    [400, victim.attempt('iso').path, ['-H', 'Content-Range: bytes 5-9/4']],
    [415, victim.attempt('iso').path, ['-H', 'Content-Encoding: gzip']],
  ];
  for (const [status, path, options = []] of refusals) {
    const told = await curl(['--noproxy', '*', ...options, '-T', noiseFile, north + path]);
    t.match(told, { status, sent: 0, code: 0 }, `${status} for ${path}`);
  }
  holder.socket.resetAndDestroy();
  const [image] = other.path.split('&isoclient');
  await ask(north, image ?? '', { method: 'DELETE' });
  await victim.check(t, arriving);
});

t.test('wget that is stopped with ^C leaves nothing behind', withWget, async (t) => {
  for (const route of ['iso', 'images'] as const) {
    const attempt = victim.attempt(route);
    const options = ['-q', '--no-proxy', '-O', '/dev/null', '--method=PUT', `--body-file=${endlessFile}`];
    const client = startTool(t, 'wget', [...options, north + attempt.path]);
    await victim.untilArriving();
    await interrupt(client);
    await victim.check(t, attempt);
  }
});

const pythonScript = `
import http.client, os, socket, struct, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.netloc)
connection.putrequest('PUT', url.path + '?' + url.query)
if sys.argv[2] == 'chunked':
    connection.putheader('Transfer-Encoding', 'chunked')
    connection.endheaders()
    connection.send(b'10000\\r\\n' + bytes(65536) + b'\\r\\n10000\\r\\n' + bytes(100))
else:
    connection.putheader('Content-Length', '10000000')
    connection.endheaders()
    connection.send(bytes(300000))
sys.stdin.readline()
if sys.argv[3] == 'reset':
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
if sys.argv[3] == 'close':
    connection.close()
os._exit(1)
`;

t.test("Python's http.client that gives up in the middle leaves nothing behind", withPython, (t) => {
  for (const framing of ['chunked', 'length']) {
    for (const end of ['close', 'exit', 'reset']) {
      t.test(`${framing}, ${end}`, async (t) => {
        const attempt = victim.attempt('iso');
        const client = startTool(t, 'python3', ['-c', pythonScript, north + attempt.path, framing, end]);
        await victim.untilArriving();
        const closed = once(client, 'close');
        client.stdin?.end('\n');
        await closed;
        await victim.check(t, attempt);
      });
    }
  }
  t.end();
});

// In a process of its own: Node's fetch goes on with a stream, and opens another connection, when it has been aborted.
const fetchScript = `
const [url, kind] = process.argv.slice(1);
const pull = (controller) => new Promise((resolve) => setTimeout(resolve, 1)).then(() => {
  controller.enqueue(new Uint8Array(65536));
});
const body = kind === 'stream' ? new ReadableStream({ pull }) : new Uint8Array(128 * 1024 ** 2);
const abort = new AbortController();
process.stdin.once('end', () => abort.abort()).resume();
fetch(url, { method: 'PUT', body, duplex: 'half', signal: abort.signal })
  .then((response) => response.text())
  .then(() => process.exit(0), (error) => process.exit(error.name === 'AbortError' ? 7 : 1));
`;

t.test('a fetch that is aborted in the middle leaves nothing behind', (t) => {
  for (const kind of ['stream', 'bytes']) {
    t.test(kind, async (t) => {
      const attempt = victim.attempt('images');
      const client = startTool(t, process.execPath, ['-e', fetchScript, north + attempt.path, kind]);
      await victim.untilArriving();
      const closed = once(client, 'close');
      client.stdin?.end();
      t.same(await closed, [7, null], 'the upload was aborted before it was answered');
      await victim.check(t, attempt);
    });
  }
  t.end();
});

const multipart = (attempt: Attempt) =>
  `PUT ${attempt.path} HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n` +
  'Content-Length: 1000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="f.iso"\r\n\r\nbytes';

interface Place {
  /** What is sent before the client stops. */
  readonly sent: (attempt: Attempt) => string;
  /** Whether the service has begun to take the file by then. */
  readonly isArriving: boolean;
  /** What a client that falls silent is told. */
  readonly told: RegExp;
}

const tooLate = /^HTTP\/1\.1 408 [^]*"code": "TIMEOUT"/;
const chunked = ({ path }: Attempt) => `PUT ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`;
const withLength = ({ path }: Attempt) => `PUT ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n`;

function inFile(sent: Place['sent'], told = tooLate): Place {
  return { sent, told, isArriving: true };
}

const places: Readonly<Record<string, Place>> = {
  'a header': {
    sent: ({ path }) => `PUT ${path} HTTP/1.1\r\nHost: a\r\nContent-Le`,
    isArriving: false,
    // There is nothing to answer where no request has come.
    told: /^$|^HTTP\/1\.1 408 /,
  },
  'a chunk size': inFile((attempt) => `${chunked(attempt)}5\r\nabcde\r\n1`),
  'a chunk': inFile((attempt) => `${chunked(attempt)}100\r\nabc`),
  'the end of a chunk': inFile((attempt) => `${chunked(attempt)}5\r\nabcde\r`),
  'the last chunk': inFile((attempt) => `${chunked(attempt)}5\r\nabcde\r\n0\r\n`),
  'a body': inFile((attempt) => `${withLength(attempt)}the first bytes`),
  'a body after progress': inFile((attempt) => withLength(attempt) + 'a'.repeat(500), /^HTTP\/1\.1 200 [^]*50 %\n/),
  'the file of a form': inFile(multipart),
};

/** Sends a part of an upload, and waits until the service has taken note of it. */
async function stoppedAt(t: Test, to: Victim, { sent, isArriving }: Place, attempt: Attempt): Promise<Connection> {
  const connection = await Connection.open(to.north);
  t.teardown(() => connection.socket.destroy());
  connection.send(sent(attempt));
  if (isArriving) await to.untilArriving();
  return connection;
}

for (const [name, place] of Object.entries(places)) {
  t.test(`a connection that is closed in the middle of ${name} leaves nothing behind`, async (t) => {
    const attempt = victim.attempt('images');
    const connection = await stoppedAt(t, victim, place, attempt);
    connection.socket.end();
    t.notMatch(await connection.closed, /finished/, 'it is not told that all is well');
    await victim.check(t, attempt);
  });

  t.test(`a connection that is reset in the middle of ${name} leaves nothing behind`, async (t) => {
    const attempt = victim.attempt('iso');
    const connection = await stoppedAt(t, victim, place, attempt);
    connection.socket.resetAndDestroy();
    await victim.check(t, attempt);
  });
}

t.test('a connection that falls silent is closed by the service, wherever that was', async (t) => {
  const impatient = await Victim.start(t, { httpTimeout: 1000 });
  for (const [name, place] of Object.entries(places)) {
    t.test(name, async (t) => {
      const attempt = impatient.attempt('iso');
      const told = await (await stoppedAt(t, impatient, place, attempt)).closed;
      t.match(told, place.told);
      t.notMatch(told, /finished|\r\n0\r\n/, 'an answer that has begun is cut');
      await impatient.check(t, attempt);
    });
  }
});

t.test('a hundred clients that reset their uploads at once leave nothing behind', async (t) => {
  const attempts = Array.from({ length: 100 }, () => victim.attempt('iso'));
  const connections = await Promise.all(attempts.map(() => Connection.open(north)));
  for (const [index, { path }] of attempts.entries()) {
    connections[index]?.send(`PUT ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nthe first bytes`);
  }
  await victim.untilArriving();
  for (const { socket } of connections) socket.resetAndDestroy();
  for (const { path } of attempts) {
    let status = 409;
    while (status === 409) ({ status } = await ask(north, path, { method: 'PUT', body: 'bytes' }));
    t.equal(status, 200);
    await ask(north, path, { method: 'DELETE' });
  }
  await victim.isAtRest(t);
});

t.test('clients that stop in the middle of a download leave no file open', withCurl, async (t) => {
  const image = victim.attempt('images');
  const iso = smallIso({ kernel: randomBytes(30_000_000) });
  await ask(north, image.path, { method: 'PUT', body: iso });
  const query = /name=([^&]*)/.exec(image.path)?.[1] ?? '';
  for (const path of [`/iso/${image.file}`, `/${query}/1/kernel`]) {
    const client = startTool(t, 'curl', [...slowly, south + path]);
    const [response] = (await once(get(south + path, { agent: false }), 'response')) as [IncomingMessage];
    t.teardown(() => response.destroy());
    t.equal(response.statusCode, 200);
    const connection = await Connection.open(south);
    t.teardown(() => connection.socket.destroy());
    connection.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nRange: bytes=5-1000000,2000000-20000000\r\n\r\n`);
    await connection.until('HTTP/1.1 206');
    connection.socket.resetAndDestroy();
    response.destroy();
    await interrupt(client);
  }
  const [named] = image.path.split('&isoclient');
  await ask(north, named ?? '', { method: 'DELETE' });
  await ask(north, `/iso?name=${image.file}`, { method: 'DELETE' });
  await victim.isAtRest(t);
  await writeFile(join(victim.folder, 'static/still'), 'here');
  t.equal((await ask(south, '/still')).text, 'here');
});
