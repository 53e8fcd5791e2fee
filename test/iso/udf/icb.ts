import t from 'tap';
import { type Icb, readIcb } from '../../../lib/iso/udf/icb.js';
import { fileEntry, type IcbOptions, recordedDate } from '../../fixtures/udf-builder.js';

function read(options: IcbOptions, blockSize = 2048): Icb | undefined {
  const block = Buffer.alloc(blockSize);
  fileEntry(7, options).copy(block);
  return readIcb(block, 7);
}

t.test('a file entry tells what a file is', (t) => {
  for (const isExtended of [false, true]) {
    const icb = read({ isExtended, type: 12, area: Buffer.from('abc'), attributes: Buffer.alloc(24), links: 3 });
    t.match(icb, { fileType: 12, form: 'inside', size: 3, strategy: 4, links: 3, modified: recordedDate.getTime() });
    t.same(icb?.area, Buffer.from('abc'));
    t.equal(icb?.areaAt, (isExtended ? 216 : 176) + 24, 'behind the extended attributes');
  }
  t.end();
});

t.test('allocation descriptors have one of four forms', (t) => {
  const forms = ['short', 'long', 'extended', 'inside'] as const;
  for (const form of forms) t.equal(read({ form })?.form, form);
  for (const form of [4, 5, 6, 7]) t.equal(read({ form }), undefined, `${form}`);
  t.equal(read({ form: 0x3f8 })?.form, 'short', 'other flags do not matter');
  t.end();
});

t.test('sizes go up to 8 TiB', (t) => {
  const size = (size: number) => read({ size, form: 'short' })?.size;
  for (const bytes of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 5, 2 ** 43 - 1]) t.equal(size(bytes), bytes);
  for (const bytes of [2 ** 43, 2 ** 53]) t.equal(size(bytes), undefined);
  t.end();
});

t.test('an entry whose parts do not fit into its block is none', (t) => {
  t.ok(read({ area: Buffer.alloc(2048 - 176) }));
  t.notOk(read({ areaLength: 2048 - 175 }));
  t.notOk(read({ attributesLength: 2048 - 175 }));
  t.notOk(read({ attributesLength: 0xffffffff, areaLength: 0xffffffff }));
  t.ok(read({ area: Buffer.alloc(512 - 176) }, 512), 'small blocks');
  t.notOk(read({ areaLength: 512 - 175 }, 512));
  t.end();
});

t.test('an entry with a wrong checksum, CRC or location, or of another kind, is none', (t) => {
  t.notOk(read({ checksum: 1 }));
  t.notOk(read({ crc: 1 }));
  t.notOk(readIcb(Buffer.concat([fileEntry(7), Buffer.alloc(2048)]), 8));
  t.notOk(readIcb(Buffer.alloc(2048), 0));
  t.end();
});
