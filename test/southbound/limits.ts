import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask } from '../fixtures/client.js';
import { startTestService, type TestService } from '../fixtures/service.js';
import { begin } from '../fixtures/slow-download.js';

const large = 64 * 2 ** 20;

/** A service in one process or with one worker, and a file that no buffer on the way can hold. */
async function start(t: Test, settings: Readonly<Record<string, unknown>>): Promise<TestService> {
  const service = await startTestService(t, settings);
  await writeFile(join(service.folder, 'static/large'), '');
  await truncate(join(service.folder, 'static/large'), large);
  return service;
}

for (const southboundWorkers of [0, 1]) {
  const where = southboundWorkers === 0 ? 'in the main process' : 'in a worker';

  t.test(`with all places taken iPXE is told to come again, and others wait, ${where}`, async (t) => {
    const { south, north } = await start(t, { southboundWorkers, maxConnections: 1 });
    const download = await begin(`${south}/large`);
    const refused = await ask(south, '/large', { headers: { 'user-agent': 'iPXE/1.21.1' } });
    t.equal(refused.status, 503);
    t.match(refused.headers['retry-after'], /^[1-9]\d*$/);
    let isAnswered = false;
    const waiting = ask(south, '/?format=text').then((answer) => {
      isAnswered = true;
      return answer;
    });
    t.equal((await ask(north, '/images')).status, 200, 'northbound goes on');
    t.notOk(isAnswered);
    download.destroy();
    t.equal((await waiting).text, 'common/\niso/\nlarge\n');
  });

  t.test(`a client gets no more bytes a second than the limit, ${where}`, async (t) => {
    const { south, north } = await start(t, { southboundWorkers, rateLimit: 1000 });
    const download = await begin(`${south}/large`);
    let bytes = 0;
    download.on('data', (chunk: Buffer) => (bytes += chunk.length));
    for (let round = 0; round < 20; round++) await ask(north, '/images');
    // Without a limit there would be many megabytes by now; with it, less than that in an hour.
    t.ok(bytes < 4_000_000, `${bytes} bytes`);
    download.destroy();
  });
}
