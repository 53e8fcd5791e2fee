import t from 'tap';
import { grubMenu, imageNamed, ipxeMenu } from '../../lib/recipes/menu.js';
import { imageOf, server } from '../fixtures/recipes.js';

const usual = { bootDefault: undefined, bootTimeout: 10_000 };

async function images() {
  return [
    await imageOf('CentOS 7', { createdAt: '2024-01-01T00:00:00.000Z' }),
    { name: 'data', version: '1', boot: [], createdAt: '2025-01-01T00:00:00.000Z' },
    await imageOf('openSUSE 13.2', { createdAt: '2024-06-01T00:00:00.000Z' }),
    await imageOf('ESXi 6.7', {}),
  ];
}

const linesOf = (text: string, word: string) => text.split('\n').filter((line) => line.startsWith(word));

t.test('the menu of iPXE has every way to boot, newest image first, and takes the newest by itself', async (t) => {
  const menu = ipxeMenu(await images(), usual, server);
  t.same(linesOf(menu, 'item i'), [
    'item i0_0 opensuse 1 (openSUSE 13.2, x86_64)',
    'item i0_1 opensuse 1 (openSUSE 13.2, i386)',
    'item i1_0 centos 1 (CentOS 7, x86_64)',
    'item i2_0 esxi 1 (VMware ESXi 6.7.0, x86_64)',
  ]);
  t.same(linesOf(menu, 'choose'), ['choose --default i0_0 --timeout 10000 target && goto ${target} || goto exit']);
  t.match(menu, `:i0_1\nchain --autofree ${server}/boot.ipxe?image=opensuse/1&entry=1 || goto start\n`);
});

t.test('configuration names the default and the timeout', async (t) => {
  const menu = ipxeMenu(await images(), { bootDefault: 'CentOS/1', bootTimeout: 0 }, server);
  t.same(linesOf(menu, 'choose'), ['choose --default i1_0 target && goto ${target} || goto exit']);
  const unknown = ipxeMenu(await images(), { bootDefault: 'none/1', bootTimeout: 5 }, server);
  t.same(linesOf(unknown, 'choose'), ['choose --default i0_0 --timeout 5 target && goto ${target} || goto exit']);
});

t.test('a menu without images says so, and goes on with the next boot device', (t) => {
  const menu = ipxeMenu([], usual, server);
  t.match(menu, 'item --gap No image is OK that can boot');
  t.match(menu, 'choose --default exit');
  t.equal(grubMenu([], usual, server), 'set timeout=10\nset default=0\n\n');
  t.end();
});

t.test('the menu of GRUB has what GRUB can boot', async (t) => {
  const menu = grubMenu(await images(), { bootDefault: 'centos/1', bootTimeout: 1500 }, server);
  t.match(menu, /^set timeout=2\nset default=2\n\nmenuentry 'opensuse 1 /);
  t.equal(linesOf(menu, 'menuentry').length, 3);
  t.match(
    grubMenu(await images(), { bootDefault: undefined, bootTimeout: 0 }, server),
    /^set timeout=-1\nset default=0\n/,
  );
});

t.test('an image is named exactly, or else in any case', (t) => {
  const named = (place: string) =>
    imageNamed(
      [
        { name: 'A', version: '1' },
        { name: 'a', version: '1' },
      ],
      place,
    )?.name;
  t.same([named('a/1'), named('A/1'), named('b/1')], ['a', 'A', undefined]);
  t.equal(imageNamed([{ name: 'ESXi', version: '6.7' }], 'esxi/6.7')?.name, 'ESXi');
  t.end();
});
