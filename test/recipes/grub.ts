import t from 'tap';
import { bootAt } from '../../lib/recipes/bootable.js';
import { grubEntry } from '../../lib/recipes/grub.js';
import { imageOf, server } from '../fixtures/recipes.js';

async function entry(system: string, members = {}): Promise<string> {
  const image = await imageOf(system, members);
  return grubEntry(image, bootAt(image, 0), server);
}

const host = '(http,10.1.1.1:9090)';

t.test('a Linux kernel is loaded by http, each argument quoted where it must be', async (t) => {
  t.equal(
    await entry('CentOS 7', { args: "quiet a=$b;c it's" }),
    [
      "menuentry 'centos 1 (CentOS 7, x86_64)' {",
      `  linux ${host}/centos/1/images/pxeboot/vmlinuz inst.repo=${server}/centos/1 quiet 'a=$b;c' 'it'\\''s'`,
      `  initrd ${host}/centos/1/images/pxeboot/initrd.img`,
      '}\n',
    ].join('\n'),
  );
});

t.test('files that go into the RAM disk, and those of wimboot, have their names', async (t) => {
  t.match(await entry('Proxmox'), `initrd ${host}/proxmox/1/boot/initrd.img newc:proxmox.iso:${host}/iso/proxmox.iso`);
  t.match(
    await entry('Windows 10'),
    `linux16 ${host}/common/wimboot\n  initrd16 newc:bootmgr:${host}/windows/1/bootmgr newc:BCD:`,
  );
});

t.test('a multiboot kernel has modules, and a disc its loader for UEFI', async (t) => {
  t.match(
    await entry('XenServer'),
    `module2 ${host}/xenserver/1/boot/vmlinuz\n  module2 ${host}/xenserver/1/install.img`,
  );
  const boot = { kind: 'iso', loader: 'EFI/BOOT/BOOTX64.EFI' } as const;
  t.match(grubEntry({ name: 'n', version: 'v' }, boot, server), `chainloader ${host}/n/v/EFI/BOOT/BOOTX64.EFI`);
});

t.test('what GRUB cannot boot is said', async (t) => {
  await t.rejects(entry('ESXi 6.7'), {
    code: 'NOT_FOUND',
    message: 'GRUB cannot boot ESXi over the network; iPXE can',
  });
  await t.rejects(entry('FreeBSD'), { code: 'NOT_FOUND', message: /a whole \.iso without a loader/ });
  const image = await imageOf('CentOS 7');
  t.throws(() => grubEntry(image, bootAt(image, 0), 'https://h'), { code: 'NOT_FOUND', message: /nothing by https/ });
});

t.test('port 80 needs no mention, and a name with a quote stays inside its quotes', async (t) => {
  const image = await imageOf('CentOS 7', { name: "a'b" });
  const text = grubEntry(image, bootAt(image, 0), 'http://10.1.1.1');
  t.match(text, "menuentry 'a b 1 (CentOS 7, x86_64)' {\n  linux '(http,10.1.1.1)/a'\\''b/1/images/pxeboot/vmlinuz'");
});
