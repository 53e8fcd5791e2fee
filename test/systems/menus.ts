import t from 'tap';
import { parseIni } from '../../lib/systems/ini.js';
import { parseGrub, parseLoaderEntry, parseSyslinux, pathInImage } from '../../lib/systems/menus.js';

t.test('a menu of SYSLINUX is read as SYSLINUX reads it, its default first', (t) => {
  const text = `
    ui vesamenu.c32
    default live
    label memtest
      kernel memdisk
      initrd /m.img,/n.img
    LABEL live
      menu label Start ^Live
      linux /live/vmlinuz
      append boot=live initrd=/live/initrd.img,/x quiet ---
    label check
      menu default
      kernel chk
    label menu
      kernel vesamenu.c32
    label local
      localboot 0`;
  t.same(parseSyslinux(text), [
    { title: 'check', kernel: 'chk', initrd: [], args: '' },
    { title: 'memtest', kernel: 'memdisk', initrd: ['/m.img', '/n.img'], args: '' },
    { title: 'Start Live', kernel: '/live/vmlinuz', initrd: ['/live/initrd.img', '/x'], args: 'boot=live quiet ---' },
  ]);
  t.end();
});

t.test('menu entries of GRUB are read with its quotes', (t) => {
  const text = `
    set timeout=5
    if loadfont font ; then set gfxmode=auto; fi
    submenu 'Advanced' {
      menuentry "Install \\"it\\" now" --hotkey=i {
        set background_color=black
        linux  /install.amd/vmlinuz vga=788 'a b' --- quiet
        initrd /install.amd/initrd.gz /extra.img
      }
      menuentry 'Chain' { chainloader +1 }
      menuentry Efi {
        linuxefi (cd0)/k
      }
    }`;
  t.same(parseGrub(text), [
    {
      title: 'Install "it" now',
      kernel: '/install.amd/vmlinuz',
      initrd: ['/install.amd/initrd.gz', '/extra.img'],
      args: 'vga=788 a b --- quiet',
    },
    { title: 'Efi', kernel: '(cd0)/k', initrd: [], args: '' },
  ]);
  t.end();
});

t.test('an entry of systemd-boot is read with all its lines', (t) => {
  const text = 'title   Arch\nlinux   /arch/k\ninitrd  /a.img\ninitrd  /b.img\noptions x=1\noptions y=2\n';
  t.same(parseLoaderEntry(text), [{ title: 'Arch', kernel: '/arch/k', initrd: ['/a.img', '/b.img'], args: 'x=1 y=2' }]);
  t.same(parseLoaderEntry('title Windows\nefi /bootmgfw.efi\n'), []);
  t.end();
});

t.test('paths of a menu begin at its folder or at the root, whatever device GRUB names before them', (t) => {
  t.equal(pathInImage('vmlinuz', 'isolinux'), 'isolinux/vmlinuz');
  t.equal(pathInImage('/boot//./vmlinuz', 'isolinux'), 'boot/vmlinuz');
  t.equal(pathInImage('(cd0)/k', ''), 'k');
  t.throws(() => pathInImage('../../k', 'isolinux'), { code: 'BAD_REQUEST' });
  t.end();
});

t.test('an INI file is read by sections, and what is none of it is left out', (t) => {
  const ini = parseIni('lost = 1\n[a]\nKey = x = y\n; c = d\n# e = f\nother: z\nnothing\n[b]\n[a]\nkey2=1\n');
  t.same(
    [...ini].map(([section, values]) => [section, [...values]]),
    [
      [
        'a',
        [
          ['Key', 'x = y'],
          ['other', 'z'],
          ['key2', '1'],
        ],
      ],
      ['b', []],
    ],
  );
  t.end();
});
