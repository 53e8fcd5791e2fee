import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { type TestService, startTestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { esxiBootConfig } from '../fixtures/systems.js';

const esxi = { 'boot.cfg': esxiBootConfig, 'mboot.c32': 'm', 'b.b00': '', 'jumpstrt.gz': '', 'k.b00': '' };

/** A service with an image of ESXi that lacks a module. */
async function start(t: Test): Promise<TestService & { image: string }> {
  const service = await startTestService(t);
  await writeFile(join(service.folder, 'static/iso/e.iso'), smallIso(esxi));
  const put = { method: 'PUT', headers: { prefer: 'wait=10' } };
  const record = json(await ask(service.north, '/images?name=esxi&version=6.7&isostore=e.iso', put)) as { id: string };
  return { ...service, image: `/images/${record.id}` };
}

t.test('a recipe is what its reader takes as it is: JSON for RackHD, text for boot loaders and shells', async (t) => {
  const { north, south, image } = await start(t);
  const rackhd = await ask(north, `${image}/recipe?for=rackhd`);
  t.equal(rackhd.headers['content-type'], 'application/json');
  t.same(json(rackhd), {
    name: 'Graph.InstallESXi',
    options: { defaults: { version: '6.7.0', repo: `${south}/esxi/6.7` } },
  });
  const ipxe = await ask(north, `${image}/recipe?for=ipxe`);
  t.match([ipxe.headers['content-type'], ipxe.text], ['text/plain; charset=utf-8', /^#!ipxe\n/]);
  t.match(ipxe.text, `-c ${south}/boot/esxi/6.7/boot.cfg`);
  t.match(json(await ask(north, `${image}/recipe?for=uefi-http`)), { iso: `${south}/iso/e.iso` });
  t.match(
    (await ask(north, `${image}/recipe?for=curl`)).text,
    `curl --fail --remote-name ${south}/esxi/6.7/mboot.c32\n`,
  );
});

t.test('without a reader all recipes come, and why others are missing', async (t) => {
  const { north, image } = await start(t);
  t.match(json(await ask(north, `${image}/recipe`)), {
    name: 'esxi',
    version: '6.7',
    boot: { kind: 'esxi', kernel: 'mboot.c32' },
    rackhd: { name: 'Graph.InstallESXi' },
    missing: { grub: 'GRUB cannot boot ESXi over the network; iPXE can' },
  });
});

t.test('what cannot be is refused by name', async (t) => {
  const { north, image } = await start(t);
  const cases: readonly (readonly [path: string, status: number, message: RegExp])[] = [
    [`${image}/recipe?for=lilo`, 400, /for must be one of rackhd, ipxe, grub, uefi-http, curl/],
    [`${image}/recipe?for=ipxe&entry=x`, 400, /entry must be a number/],
    [`${image}/recipe?to=ipxe`, 400, /Unknown parameter/],
    [`${image}/recipe?for=ipxe&entry=3`, 404, /1 ways to boot/],
    [`${image}/recipe?for=grub`, 404, /GRUB cannot boot ESXi/],
    ['/images/none/recipe', 404, /no image with this id/],
    ['/images/none/check', 404, /no image with this id/],
    [`${image}/check?all=1`, 400, /Unknown parameter/],
  ];
  for (const [path, status, message] of cases) {
    const answer = await ask(north, path);
    t.match([answer.status, answer.text], [status, message], path);
  }
  t.equal((await ask(north, `${image}/check`, { method: 'PUT' })).status, 405);
});

t.test('the check names the file that a machine would miss', async (t) => {
  const { north, image } = await start(t);
  const answer = await ask(north, `${image}/check`);
  t.equal(answer.status, 200);
  const missing = { kind: 'missing', path: 'useropts.gz' };
  t.match(json(answer), {
    name: 'esxi',
    version: '6.7',
    found: 2,
    isComplete: true,
    findings: [
      { ...missing, namedBy: 'the boot of the image' },
      { ...missing, namedBy: 'boot.cfg', message: 'boot.cfg names useropts.gz, which is not there' },
    ],
  });
});

t.test('a failed image can neither be booted nor checked', async (t) => {
  const { north, south } = await startTestService(t);
  const put = { method: 'PUT', headers: { prefer: 'wait=60' } };
  const record = json(await ask(north, `/images?name=a&version=1&isoweb=${south}/none.iso`, put));
  const { id, status } = record as { id: string; status: string };
  t.equal(status, 'failed');
  t.match(json(await ask(north, `/images/${id}/recipe`)), { message: 'Nothing is known that a 1 boots' });
  t.match(json(await ask(north, `/images/${id}/check`)), { message: 'a 1 is failed: there is nothing to check' });
});
