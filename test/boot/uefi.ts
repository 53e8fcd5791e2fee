import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { debianDisc, installerFiles, makeDisc, startWithDiscs } from '../fixtures/boot-discs.js';
import { makeGrub } from '../fixtures/boot-grub.js';
import { hostOfMachine, Machine, uefiFiles } from '../fixtures/boot-machine.js';
import { Recorder } from '../fixtures/boot-recorder.js';
import { ask, json } from '../fixtures/client.js';
import { needFile, needTools, realIsos } from '../fixtures/iso-tools.js';
import { temporaryFolder, type TestService } from '../fixtures/service.js';

const ipxeLoader = '/usr/lib/ipxe/ipxe.efi';

async function isReady(t: Test, tools: readonly string[], ...files: readonly string[]): Promise<boolean> {
  if (!(await needTools(t, 'qemu-system-x86_64', 'xorriso', ...tools))) return false;
  for (const file of [...uefiFiles, ...files]) if (!(await needFile(t, file))) return false;
  return true;
}

/** A recorder before the file server, and the URL by which machines reach that. */
async function record(t: Test, service: TestService) {
  const recorder = await Recorder.start(t, service.south);
  return { recorder, server: `http://${hostOfMachine}:${recorder.port}` };
}

/** What the API tells firmware to boot, as the machine reaches it. */
async function toldToFirmware(
  { north, south }: TestService,
  name: string,
  server: string,
): Promise<Record<string, string>> {
  const [image] = json(await ask(north, `/images?name=${name}`)) as { id: string }[];
  const { text } = await ask(north, `/images/${image?.id ?? ''}/recipe?for=uefi-http`);
  return JSON.parse(text.replaceAll(south, server)) as Record<string, string>;
}

const shown = ({ requests }: Recorder) =>
  requests.map(({ method, target }) => `${method} ${target.replace(/^.*\/(?=linux|initrd)/, '')}`);

t.test("UEFI boots iPXE by HTTP, and that Debian's installer out of an ISO by the menu", async (t) => {
  if (!(await isReady(t, [], ipxeLoader, ...installerFiles))) return;
  const service = await startWithDiscs(t, { debian: await makeDisc(t, debianDisc) }, { bootTimeout: 1000 });
  await copyFile(ipxeLoader, join(service.folder, 'static/common/ipxe.efi'));
  await ask(service.north, '/images?name=debian&version=1&args=console%3DttyS0', { method: 'PATCH' });
  const { recorder, server } = await record(t, service);
  const offers = { http: `${server}/common/ipxe.efi`, ipxe: `${server}/boot.ipxe` };
  const machine = await Machine.start(t, { firmware: 'uefi', offers });
  await machine.waitFor("the installer's first question", /Select a language/, 500);
  t.same(shown(recorder), [
    ...['HEAD /common/ipxe.efi', 'GET /common/ipxe.efi'],
    ...['GET /boot.ipxe', 'GET /boot.ipxe?image=debian/1&entry=0', 'GET linux', 'GET initrd.gz'],
  ]);
});

t.test('UEFI boots the loader of an image by HTTP, as the recipe says', async (t) => {
  if (!(await isReady(t, [], ipxeLoader))) return;
  const disc = await makeDisc(t, { 'EFI/BOOT/BOOTX64.EFI': { from: ipxeLoader } });
  const service = await startWithDiscs(t, { loader: disc });
  const { recorder, server } = await record(t, service);
  const { loader } = await toldToFirmware(service, 'loader', server);
  const machine = await Machine.start(t, { firmware: 'uefi', offers: { http: loader } });
  await machine.waitFor('the loader', /iPXE initialising devices/, 300);
  t.same(shown(recorder), ['HEAD /loader/1/EFI/BOOT/BOOTX64.EFI', 'GET /loader/1/EFI/BOOT/BOOTX64.EFI']);
});

t.test('UEFI boots a whole .iso by its URL, as a RAM disk', async (t) => {
  const memtest = realIsos[3];
  if (!(await isReady(t, [], memtest))) return;
  const service = await startWithDiscs(t, { memtest });
  const { recorder, server } = await record(t, service);
  const { iso } = await toldToFirmware(service, 'memtest', server);
  const machine = await Machine.start(t, { firmware: 'uefi', offers: { http: iso } });
  await machine.waitFor('the start of the disc', /starting Boot\d+ "UEFI HTTPv4/, 300);
  t.same(shown(recorder), ['HEAD /iso/memtest.iso', 'GET /iso/memtest.iso']);
  t.notMatch(machine.text, /failed to load Boot\d+ "UEFI HTTPv4/);
});

t.test("GRUB boots Debian's installer by its menu and its own http", async (t) => {
  if (!(await isReady(t, ['grub-mkimage'], '/usr/lib/grub/x86_64-efi/http.mod', ...installerFiles))) return;
  const service = await startWithDiscs(t, { debian: await makeDisc(t, debianDisc) }, { bootTimeout: 1000 });
  await ask(service.north, '/images?name=debian&version=1&args=console%3DttyS0', { method: 'PATCH' });
  // Without anybody between them: GRUB names no port, and the service answers with its own.
  const host = `${hostOfMachine}:${new URL(service.south).port}`;
  const loader = await makeGrub(await temporaryFolder(t), host);
  await copyFile(loader, join(service.folder, 'static/common/grub.efi'));
  const machine = await Machine.start(t, { firmware: 'uefi', offers: { http: `http://${host}/common/grub.efi` } });
  await machine.waitFor("the installer's first question", /Select a language/, 500);
  const fetched = service.log.flatMap((line) => / GET \S*?\/([\w.]+) 200 /.exec(line)?.[1] ?? []);
  t.same(fetched.slice(0, 4), ['grub.efi', 'grub.cfg', 'linux', 'initrd.gz']);
});
