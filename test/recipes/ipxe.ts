import t from 'tap';
import { bootAt } from '../../lib/recipes/bootable.js';
import { ipxeScript } from '../../lib/recipes/ipxe.js';
import { imageOf, server } from '../fixtures/recipes.js';

/** The commands of a script, without what is the same in all. */
async function commands(system: string, members = {}): Promise<string[]> {
  const image = await imageOf(system, members);
  const lines = ipxeScript(image, bootAt(image, 0), server).trimEnd().split('\n');
  t.equal(lines[0], '#!ipxe');
  const end = lines.indexOf(':failed');
  t.ok(end > 0 && lines[end + 1]?.startsWith('echo '), 'a failure is told');
  return lines
    .slice(1, end)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(' || goto failed', ''));
}

t.test('a Linux kernel gets its RAM disk by name, its repository, and last what the operator adds', async (t) => {
  t.same(await commands('CentOS 7', { args: 'inst.ks={tree}/ks.cfg console=ttyS0' }), [
    `kernel ${server}/centos/1/images/pxeboot/vmlinuz initrd=initrd.img inst.repo=${server}/centos/1 inst.ks=${server}/centos/1/ks.cfg console=ttyS0`,
    `initrd --name initrd.img ${server}/centos/1/images/pxeboot/initrd.img`,
    'boot',
  ]);
});

t.test('an installer that takes the whole disc gets its URL, or the disc in its RAM disk', async (t) => {
  t.same(
    (await commands('Ubuntu Server 22.04'))[0],
    `kernel ${server}/ubuntu/1/casper/vmlinuz initrd=initrd ip=dhcp url=${server}/iso/ubuntu.iso`,
  );
  t.same(await commands('Proxmox'), [
    `kernel ${server}/proxmox/1/boot/linux26 initrd=initrd.magic ro ramdisk_size=16777216 rw quiet splash=silent`,
    `initrd --name initrd.img ${server}/proxmox/1/boot/initrd.img`,
    `initrd --name proxmox.iso ${server}/iso/proxmox.iso proxmox.iso`,
    'boot',
  ]);
});

t.test('wimboot gets its files by their names, and no arguments', async (t) => {
  t.same(await commands('Windows 10'), [
    `kernel ${server}/common/wimboot`,
    `initrd --name bootmgr ${server}/windows/1/bootmgr bootmgr`,
    `initrd --name BCD ${server}/windows/1/boot/bcd BCD`,
    `initrd --name boot.sdi ${server}/windows/1/boot/boot.sdi boot.sdi`,
    `initrd --name boot.wim ${server}/windows/1/sources/boot.wim boot.wim`,
    'boot',
  ]);
});

t.test('ESXi is started by its own loader, for BIOS or UEFI, with the configuration of the network', async (t) => {
  t.same(await commands('ESXi 6.7'), [
    'iseq ${platform} efi && goto efi ||',
    `kernel ${server}/esxi/1/mboot.c32 -c ${server}/boot/esxi/1/boot.cfg BOOTIF=01-\${netX/mac:hexhyp}`,
    'boot',
    ':efi',
    `kernel ${server}/esxi/1/EFI/BOOT/BOOTX64.EFI -c ${server}/boot/esxi/1/boot.cfg`,
    'boot',
  ]);
});

t.test('a multiboot kernel gets its modules, and a disc is booted as a disc', async (t) => {
  t.same((await commands('XenServer')).slice(1), [
    `initrd --name vmlinuz ${server}/xenserver/1/boot/vmlinuz`,
    `initrd --name install.img ${server}/xenserver/1/install.img`,
    'boot',
  ]);
  t.same(await commands('FreeBSD'), [`sanboot --no-describe ${server}/iso/freebsd.iso`]);
  await t.rejects(commands('FreeBSD', { iso: undefined }), { code: 'NOT_FOUND', message: /the store has none/ });
});

t.test('names with anything in them stay one word of a URL, and no line of the script', async (t) => {
  const image = await imageOf('CentOS 7', { name: 'a b${x}', version: "1'||2" });
  const script = ipxeScript(image, bootAt(image, 0), server);
  t.match(script, `kernel ${server}/a%20b%24%7Bx%7D/1'%7C%7C2/images/pxeboot/vmlinuz `);
  t.notMatch(script, '${x}');
});

t.test('two RAM disks of one name have two', (t) => {
  const boot = { kind: 'linux', kernel: 'k', initrd: ['a/initrd.img', 'b/initrd.img'] } as const;
  const script = ipxeScript({ name: 'n', version: 'v', boot: [boot] }, boot, server);
  t.match(script, 'initrd=initrd.img initrd=1-initrd.img');
  t.match(script, `initrd --name 1-initrd.img ${server}/n/v/b/initrd.img`);
  t.end();
});

t.test('a note is said in the script, and what to do when nothing boots', async (t) => {
  const image = await imageOf('Debian netinst');
  t.match(ipxeScript(image, bootAt(image, 0), server), /^# This installer looks for its packages on a disc\./m);
  t.throws(() => bootAt(image, 7), { code: 'NOT_FOUND', message: 'debian 1 has 1 ways to boot, the first is 0' });
  const none = { name: 'n', version: 'v', boot: [], os: { ...image.os, problems: ['it is empty'] } } as never;
  t.throws(() => bootAt(none, 0), { code: 'NOT_FOUND', message: 'Nothing is known that n v boots: it is empty' });
});
