import t from 'tap';
import { Attributes, Declaration } from '../../lib/iso/rockridge.js';
import { readFields } from '../../lib/iso/susp.js';
import { type Component, field, linkFields, recordedDate, recordedTime } from '../fixtures/iso-builder.js';

function attributes(...fields: Buffer[]): Attributes {
  const found = new Attributes();
  const bytes = Buffer.concat(fields);
  readFields(bytes, 0, bytes.length, found);
  return found;
}

function declaration(...fields: Buffer[]): Declaration {
  const found = new Declaration();
  const bytes = Buffer.concat(fields);
  readFields(bytes, 0, bytes.length, found);
  return found;
}

function target(components: readonly Component[], ...more: (readonly Component[])[]): string | undefined {
  return attributes(field.sl(components), ...more.map((others) => field.sl(others))).target;
}

t.test('a name is what all NM fields say together', (t) => {
  t.equal(attributes(field.nm('Release Notes')).name, 'Release Notes');
  t.equal(attributes(field.nm('Release', 1), field.nm(' Notes')).name, 'Release Notes');
  t.equal(
    attributes(field.nm(Buffer.from([0xc3]), 1), field.nm(Buffer.from([0xbc]))).name,
    'ü',
    'a character in two fields',
  );
  t.equal(
    attributes(field.nm('a', 1), field.nm('', 1), field.nm('\0', 1), field.nm('b')).name,
    'ab',
    'and some nothing',
  );
  t.equal(attributes(field.nm('a\0b'), field.nm('c')).name, 'ac', 'each ends at its first NUL');
  t.end();
});

t.test('without a usable NM field the record names the file', (t) => {
  t.equal(attributes().name, undefined);
  t.equal(attributes(field.nm('')).name, undefined);
  t.equal(attributes(field.nm('\0a')).name, undefined);
  t.equal(attributes(field.nm('', 2)).name, undefined, 'flagged as .');
  t.equal(attributes(field.nm('a', 4)).name, undefined, 'flagged as ..');
  t.equal(attributes(field.nm('a', 0x20)).name, undefined, 'flagged as the name of a host');
  t.equal(attributes(field.raw('NM')).name, undefined, 'too short');
  t.end();
});

t.test('a name has at most 255 bytes', (t) => {
  t.equal(attributes(field.nm('a'.repeat(200), 1), field.nm('b'.repeat(55))).name?.length, 255);
  t.equal(attributes(field.nm('a'.repeat(200), 1), field.nm('b'.repeat(56))).name, 'a'.repeat(200));
  t.end();
});

t.test('the time of modification comes from TF', (t) => {
  const other = Buffer.from([1, 1, 1, 1, 1, 1, 0]);
  const digits = Buffer.concat([Buffer.from('2020020304050600'), Buffer.from([4])]);
  const otherDigits = Buffer.concat([Buffer.from('1999020304050600'), Buffer.from([0])]);
  const modified = (...fields: Buffer[]) => attributes(...fields).modified;
  t.equal(modified(field.tf(0x0e, recordedTime, other, other)), recordedDate.getTime(), 'first');
  t.equal(modified(field.tf(0x0f, other, recordedTime, other, other)), recordedDate.getTime(), 'behind the creation');
  t.equal(modified(field.tf(0x83, otherDigits, digits)), recordedDate.getTime(), 'in digits');
  t.equal(modified(field.tf(0x0d, other, other, other)), undefined, 'not recorded');
  t.equal(modified(field.tf(0x03, other)), undefined, 'cut');
  t.equal(modified(field.tf(0x82, recordedTime)), undefined, 'cut, in digits');
  t.equal(modified(field.tf(0x02, Buffer.alloc(7))), undefined, 'all zeros');
  t.equal(modified(field.raw('TF')), undefined, 'without flags');
  t.end();
});

t.test('PX has the type and the permissions of a file', (t) => {
  t.equal(attributes(field.px(0o100600)).mode, 0o100600);
  t.equal(attributes(field.raw('PX', Buffer.alloc(4))).mode, undefined, 'too short');
  t.end();
});

t.test('CL and RE mark a folder that was put elsewhere', (t) => {
  t.equal(attributes(field.cl(77)).relocatedTo, 77);
  t.equal(attributes(field.raw('CL', Buffer.alloc(4))).relocatedTo, undefined, 'too short');
  t.equal(attributes(field.re()).isRelocated, true);
  t.equal(attributes(field.pl(77)).isRelocated, false, 'PL is for the folder itself');
  t.end();
});

t.test('ZF tells how a file is compressed', (t) => {
  const zisofs = (...fields: Buffer[]) => attributes(...fields).zisofs;
  t.same(zisofs(field.zf(16, 15, 1_000_000)), { headerBytes: 16, blockBytes: 32_768, size: 1_000_000 });
  t.same(zisofs(field.zf(1020, 17, 2 ** 32 - 1)), { headerBytes: 1020, blockBytes: 131_072, size: 2 ** 32 - 1 });
  t.same(zisofs(field.zf(16, 16, 5), field.zf(16, 16, 6, 'PZ')), { headerBytes: 16, blockBytes: 65_536, size: 5 });
  t.equal(zisofs(), undefined);
  t.end();
});

t.test('a file is served as it is stored when ZF is of another version, or broken', (t) => {
  const cases: Readonly<Record<string, Buffer>> = {
    'version 2': field.zf(16, 15, 5, 'PZ'),
    'another algorithm': field.zf(16, 15, 5, 'xx'),
    'too short': field.raw('ZF', field.zf(16, 15, 5).subarray(4, 15)),
    ...Object.fromEntries([0, 14, 18, 31, 63, 255].map((power) => [`2^${power}`, field.zf(16, power, 5)])),
  };
  for (const [name, one] of Object.entries(cases)) t.equal(attributes(one).zisofs, undefined, name);
  t.end();
});

t.test('a link is told from the components of its target', (t) => {
  for (const text of ['a', 'a/b', '../a', './a', '/', '/etc/passwd', '..', '.', '../../..', 'ü/☃']) {
    t.equal(attributes(linkFields(text)).target, text);
  }
  t.equal(
    target([
      [1, 'lo'],
      [1, 'ng'],
      [0, 'er'],
    ]),
    'longer',
    'one component in parts',
  );
  t.equal(
    target(
      [[1, 'lo']],
      [
        [0, 'ng'],
        [0, 'b'],
      ],
    ),
    'long/b',
    'one component in two fields',
  );
  t.equal(target([[0, 'a']], [[0, 'b']]), 'a/b', 'two fields');
  t.equal(
    target([
      [1, Buffer.from([0xc3])],
      [0, Buffer.from([0xbc])],
    ]),
    'ü',
    'a character in two parts',
  );
  t.equal(attributes().hasTarget, false);
  t.end();
});

t.test('a link whose target is broken has none', (t) => {
  const none = (found: Attributes) => t.match(found, { hasTarget: true, target: undefined });
  none(attributes(field.sl([])));
  none(attributes(field.sl([[1, 'open']])));
  none(attributes(field.sl([[0x10, 'volume']])));
  none(attributes(field.sl([[0x20, 'host']])));
  none(attributes(field.raw('SL', Buffer.from([0, 0, 200, 0x61]))));
  none(attributes(...Array.from({ length: 30 }, () => field.sl([[0, 'a'.repeat(200)]]))));
  t.end();
});

t.test('the root declares Rock Ridge and what to skip', (t) => {
  t.match(declaration(field.sp(), field.er()), { skip: 0, isExtended: true });
  t.match(declaration(field.sp(14)), { skip: 14, isExtended: false });
  t.match(declaration(field.er('IEEE_P1282')), { skip: undefined, isExtended: true });
  t.match(declaration(field.raw('SP', Buffer.from([0xbe, 0xee, 0]))), { skip: undefined }, 'wrong check bytes');
  t.match(declaration(field.raw('SP', Buffer.from([0xbe, 0xef]))), { skip: undefined }, 'too short');
  t.match(declaration(field.nm('a')), { skip: undefined, isExtended: false });
  t.end();
});
