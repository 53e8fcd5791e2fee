import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { type TestService, startTestService } from '../fixtures/service.js';
import { addImage } from '../fixtures/southbound.js';
import { esxiBootConfig } from '../fixtures/systems.js';

const linux = {
  'isolinux.cfg': 'label l\nkernel vmlinuz\nappend initrd=initrd.img quiet\n',
  vmlinuz: 'k',
  'initrd.img': 'i',
};
const esxi = {
  'BOOT.CFG': esxiBootConfig,
  'MBOOT.C32': 'mboot',
  'B.B00': '',
  'JUMPSTRT.GZ': '',
  'USEROPTS.GZ': '',
  'K.B00': '',
};

async function start(t: Test, settings: Readonly<Record<string, unknown>> = {}): Promise<TestService> {
  const service = await startTestService(t, settings);
  await addImage(service, 'linux/1', linux);
  await addImage(service, 'ESXi/6.7', esxi);
  return service;
}

/** In the main process, and in a worker. */
for (const southboundWorkers of [0, 1]) {
  t.test(`/boot.ipxe is a menu of the images that can boot, with ${southboundWorkers} workers`, async (t) => {
    const { south } = await start(t, { southboundWorkers });
    const { status, headers, text } = await ask(south, '/boot.ipxe');
    t.match(
      [status, headers['content-type'], headers['cache-control']],
      [200, 'text/plain; charset=utf-8', 'no-store'],
    );
    t.match(text, /^#!ipxe\n/);
    t.match(text, /^item i0_0 ESXi 6\.7 \(VMware ESXi 6\.7\.0, x86_64\)$/m);
    t.match(text, `chain --autofree ${south}/boot.ipxe?image=linux/1&entry=0 || goto start`);
    const head = await ask(south, '/boot.ipxe', { method: 'HEAD' });
    t.equal(head.headers['content-length'], String(Buffer.byteLength(text)));
  });

  t.test(`an image has a script of its own, by name in any case, with ${southboundWorkers} workers`, async (t) => {
    const { south } = await start(t, { southboundWorkers });
    const { status, text } = await ask(south, '/boot.ipxe?image=LINUX/1');
    t.equal(status, 200);
    t.match(text, `kernel ${south}/linux/1/vmlinuz initrd=initrd.img quiet || goto failed`);
    for (const url of text.match(/http:\/\/\S+/g) ?? []) t.equal((await ask(url, '')).status, 200, url);
    t.match((await ask(south, '/boot/grub.cfg?image=linux%2F1')).text, /^menuentry 'linux 1 \(l\)' \{/);
  });

  t.test(`changed arguments are in the next script, with ${southboundWorkers} workers`, async (t) => {
    const { north, south } = await start(t, { southboundWorkers });
    t.equal((await ask(north, '/images?name=linux&version=1&args=one', { method: 'PATCH' })).status, 200);
    t.match((await ask(south, '/boot.ipxe?image=linux/1')).text, ' quiet one ||');
    t.equal((await ask(north, '/images?name=linux&version=1', { method: 'DELETE' })).status, 200);
    t.equal((await ask(south, '/boot.ipxe?image=linux/1')).status, 404);
    t.notMatch((await ask(south, '/boot.ipxe')).text, 'linux');
  });
}

t.test('URLs are those that the machine asked by, or of publicUrl', async (t) => {
  const service = await start(t, { httpFileServiceApiRoot: '/files/' });
  const asked = await ask(service.south, '/files/boot.ipxe?image=linux/1', { headers: { host: 'images.lab:8080' } });
  t.match(asked.text, 'kernel http://images.lab:8080/files/linux/1/vmlinuz ');
  const forged = await ask(service.south, '/files/boot.ipxe?image=linux/1', { headers: { host: 'a${b}|c' } });
  t.match(forged.text, `kernel ${service.south}/files/linux/1/vmlinuz `);
  const { south } = await start(t, { publicUrl: 'http://10.9.9.9' });
  t.match((await ask(south, '/boot.ipxe?image=linux/1')).text, 'kernel http://10.9.9.9/linux/1/vmlinuz ');
});

t.test('the default and the timeout of the menu are configured', async (t) => {
  const { south } = await start(t, { bootDefault: 'linux/1', bootTimeout: 3000 });
  t.match((await ask(south, '/boot.ipxe')).text, 'choose --default i1_0 --timeout 3000 target');
  t.match((await ask(south, '/boot/grub.cfg')).text, /^set timeout=3\nset default=0\n/);
});

t.test('ESXi gets its configuration rewritten, and its loader beside it', async (t) => {
  const service = await start(t);
  const { south, north } = service;
  await ask(north, '/images?name=ESXi&version=6.7&args=ks%3D%7Btree%7D/ks.cfg', { method: 'PATCH' });
  const { status, text } = await ask(south, '/boot/esxi/6.7/boot.cfg');
  t.equal(status, 200);
  const lines = text.trimEnd().split('\n');
  t.same(lines.slice(-4), [
    `prefix=${south}/ESXi/6.7`,
    'kernel=b.b00',
    `kernelopt=runweasel ks=${south}/ESXi/6.7/ks.cfg`,
    'modules=jumpstrt.gz --- useropts.gz --- k.b00',
  ]);
  t.equal((await ask(south, '/boot/esxi/6.7/bootx64.efi')).status, 404, 'this one has none');
  t.equal((await ask(south, '/boot/linux/1/boot.cfg')).status, 404);
  t.equal((await ask(south, '/boot/esxi/6.7/other')).status, 404);
});

t.test('what is asked wrongly is refused, and what nothing boots is said', async (t) => {
  const service = await start(t);
  await addImage(service, 'data/1', { readme: 'x' });
  const { south } = service;
  for (const query of ['image=', 'image=linux', 'image=a/b/c', 'image=linux/1&entry=x', 'image=linux/1&entry=-1']) {
    const { status, text } = await ask(south, `/boot.ipxe?${query}`);
    t.match([status, text], [400, /image must be NAME\/VERSION/], query);
  }
  t.match(json(await ask(south, '/boot.ipxe?image=data/1')), {
    code: 'NOT_FOUND',
    message: 'Nothing is known that data 1 boots',
  });
  t.match(json(await ask(south, '/boot.ipxe?image=linux/1&entry=9')), { message: /has 1 ways to boot/ });
  t.match(json(await ask(south, '/boot.ipxe?image=none/1')), { message: 'There is no image none/1' });
  t.equal((await ask(south, '/boot.ipxe', { method: 'PUT' })).status, 405);
});

t.test('a file of the operator goes before what is made, and so does an image', async (t) => {
  const service = await start(t);
  const root = join(service.folder, 'static');
  await writeFile(join(root, 'boot.ipxe'), 'mine');
  await mkdir(join(root, 'boot'));
  await writeFile(join(root, 'boot/grub.cfg'), 'mine too');
  await addImage(service, 'boot/esxi', { 'boot.cfg': 'a file' });
  t.equal((await ask(service.south, '/boot.ipxe')).text, 'mine');
  t.equal((await ask(service.south, '/boot/grub.cfg')).text, 'mine too');
  t.equal((await ask(service.south, '/boot/esxi/boot.cfg')).text, 'a file');
});

t.test('machines outside of southboundAllow get no menu', async (t) => {
  const { south } = await start(t, { southboundAllow: ['10.0.0.0/8'] });
  t.equal((await ask(south, '/boot.ipxe')).status, 403);
});
