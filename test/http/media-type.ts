import t from 'tap';
import { mediaType } from '../../lib/http/media-type.js';

const octets = 'application/octet-stream';

t.test('what boot clients and installers fetch has the type that it has', (t) => {
  const cases: [name: string, type: string][] = [
    ['bootx64.efi', 'application/efi'],
    ['GRUBX64.EFI', 'application/efi'],
    ['ubuntu-14.04.iso', 'application/x-iso9660-image'],
    ['initrd.img', octets],
    ['boot.ipxe', 'text/plain'],
    ['boot.cfg', 'text/plain'],
    ['BOOT.CFG', 'text/plain'],
    ['ks.cfg', 'text/plain'],
    ['node.ks', 'text/plain'],
    ['ubuntu-server.seed', 'text/plain'],
    ['preseed.preseed', 'text/plain'],
    ['boot.msg', 'text/plain'],
    ['config.ign', 'application/vnd.coreos.ignition+json'],
    ['autoinstall.yaml', 'text/yaml'],
    ['install.squashfs', 'application/vnd.squashfs'],
    ['repomd.xml', 'application/xml'],
    ['bash.rpm', 'application/x-redhat-package-manager'],
    ['bash.deb', 'application/x-debian-package'],
    ['libc6.udeb', 'application/x-debian-package'],
    ['memtest.bin', octets],
    ['board.dtb', octets],
    ['wgl4_boot.ttf', 'font/ttf'],
    ['sha256sum.txt', 'text/plain'],
    ['ubuntu.iso.sha256', 'text/plain'],
    ['index.html', 'text/html'],
  ];
  for (const [name, type] of cases) t.equal(mediaType(name), type, name);
  t.end();
});

t.test('what is compressed is called by what it is, not by what is in it', (t) => {
  const cases: [name: string, type: string][] = [
    ['initrd.gz', 'application/gzip'],
    ['filesystem.cpio.gz', 'application/gzip'],
    ['INITRD.GZ', 'application/gzip'],
    ['initrd.xz', 'application/x-xz'],
    ['rootfs.tar.xz', 'application/x-xz'],
    ['initrd.zst', 'application/zstd'],
    ['initrd.lzma', 'application/x-lzma'],
    ['initrd.lz', 'application/x-lzip'],
    ['initrd.lz4', 'application/x-lz4'],
    ['image.bz2', 'application/x-bzip2'],
    ['tools.tgz', 'application/gzip'],
    ['page.html.gz', 'application/gzip'],
  ];
  for (const [name, type] of cases) t.equal(mediaType(name), type, name);
  t.end();
});

t.test('files of text without an ending are text', (t) => {
  for (const name of [
    ...['.treeinfo', '.discinfo', 'Release', 'InRelease', 'SHA256SUMS', 'MD5SUMS', 'README', 'user-data', 'meta-data'],
    ...['info', 'content', 'media', 'products'],
  ]) {
    t.equal(mediaType(name), 'text/plain', name);
  }
  t.end();
});

t.test('what the name does not tell is a stream of octets', (t) => {
  for (const name of [
    ...['vmlinuz', 'initrd', 'linux', 'kernel', 'B.B00', 'mboot.c32', 'pxelinux.0', 'undionly.kpxe', 'ipxe.lkrn'],
    ...['vmlinuz-3.16.0-25-generic', 'initrd.img-3.16.0-25-generic', 'install.wim', 'boot.sdi', 'BCD'],
    ...[
      'iso',
      'html',
      '.html',
      '.iso',
      'js',
      'a.',
      '.',
      '',
      'constructor',
      'a.constructor',
      'a.__proto__',
      'a./',
      'a. ',
    ],
    ...['a.html\r\nX-Bad: 1', 'a.html;', 'é.ü', 'a.html '],
  ]) {
    t.equal(mediaType(name), octets, JSON.stringify(name));
  }
  t.end();
});

t.test('no type has a charset or anything that could end a header', (t) => {
  for (const name of ['a.txt', 'a.html', 'a.json', 'a.xml', 'a.css', 'a.js', 'a.cfg', 'README']) {
    t.match(mediaType(name), /^[a-z]+\/[a-z0-9.+-]+$/, name);
  }
  t.end();
});
