import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { debianDisc, installerFiles, makeDisc, startWithDiscs } from '../fixtures/boot-discs.js';
import { hostOfMachine, Machine, uefiFiles } from '../fixtures/boot-machine.js';
import { Recorder } from '../fixtures/boot-recorder.js';
import { ask } from '../fixtures/client.js';
import { needFile, needTools, realIsos } from '../fixtures/iso-tools.js';

const ipxeLoader = '/usr/lib/ipxe/ipxe.efi';

async function isReady(t: Test, ...files: readonly string[]): Promise<boolean> {
  if (!(await needTools(t, 'qemu-system-x86_64', 'xorriso'))) return false;
  for (const file of [...uefiFiles, ...files]) if (!(await needFile(t, file))) return false;
  return true;
}

t.test("UEFI boots iPXE by HTTP, and that Debian's installer out of an ISO by the menu", async (t) => {
  if (!(await isReady(t, ipxeLoader, ...installerFiles))) return;
  const service = await startWithDiscs(t, { debian: await makeDisc(t, debianDisc) }, { bootTimeout: 1000 });
  await copyFile(ipxeLoader, join(service.folder, 'static/common/ipxe.efi'));
  await ask(service.north, '/images?name=debian&version=1&args=console%3DttyS0', { method: 'PATCH' });
  const recorder = await Recorder.start(t, service.south);
  const server = `http://${hostOfMachine}:${recorder.port}`;
  const options = { firmware: 'uefi', url: `${server}/common/ipxe.efi`, bootFile: `${server}/boot.ipxe` } as const;
  const machine = await Machine.start(t, options);
  await machine.waitFor("the installer's first question", /Select a language/, 500);
  t.comment(recorder.requests.map(({ method, target }) => `${method} ${target}`).join('\n'));
});

t.test('UEFI boots a whole .iso by its URL, as a RAM disk', async (t) => {
  const [grub] = realIsos;
  if (!(await isReady(t, grub))) return;
  const service = await startWithDiscs(t, { grub });
  const recorder = await Recorder.start(t, service.south);
  const url = `http://${hostOfMachine}:${recorder.port}/iso/grub.iso`;
  const machine = await Machine.start(t, { firmware: 'uefi', url });
  await machine.waitFor('the menu of GRUB', /GNU GRUB/, 300);
  t.comment(recorder.requests.map(({ method, target }) => `${method} ${target}`).join('\n'));
});
