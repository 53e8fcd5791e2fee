import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { debianDisc, installerFiles, makeDisc, startWithDiscs } from '../fixtures/boot-discs.js';
import { hostOfMachine, Machine } from '../fixtures/boot-machine.js';
import { Recorder } from '../fixtures/boot-recorder.js';
import { replay } from '../fixtures/boot-replay.js';
import { ask } from '../fixtures/client.js';
import { needFile, needTools } from '../fixtures/iso-tools.js';

/** Machines that do at the same time what one has done. */
const clients = 20;

t.test(
  "a machine with BIOS boots Debian's installer out of an ISO, by iPXE and the menu; twenty do the same",
  async (t) => {
    if (!(await needTools(t, 'qemu-system-x86_64', 'xorriso'))) return;
    for (const file of installerFiles) if (!(await needFile(t, file))) return;
    const service = await startWithDiscs(t, { debian: await makeDisc(t, debianDisc) }, { bootTimeout: 1000 });
    await ask(service.north, '/images?name=debian&version=1&args=console%3DttyS0', { method: 'PATCH' });
    const recorder = await Recorder.start(t, service.south);
    const host = `${hostOfMachine}:${recorder.port}`;
    const machine = await Machine.start(t, { firmware: 'bios', bootFile: `http://${host}/boot.ipxe` });
    await machine.waitFor("the installer's first question", /Select a language/, 400);
    await machine.stop();

    const { requests } = recorder;
    t.same(
      requests.map(({ method, target }) => `${method} ${target.replace(/^.*\/(?=linux|initrd)/, '')}`),
      ['GET /boot.ipxe', 'GET /boot.ipxe?image=debian/1&entry=0', 'GET linux', 'GET initrd.gz'],
    );
    const [first = [], ...others] = await Promise.all(
      Array.from({ length: clients }, () => replay(service.south, host, requests)),
    );
    const digests = await Promise.all(
      installerFiles.map(async (file) =>
        createHash('sha256')
          .update(await readFile(file))
          .digest('hex'),
      ),
    );
    t.same(
      first.slice(2).map(({ sha256 }) => sha256),
      digests,
      'the bytes of the disc',
    );
    t.ok(first.every(({ status }) => status === 200));
    for (const answers of others) t.same(answers, first);
  },
);
