import t from 'tap';
import { readDescriptors } from '../../lib/iso/descriptors.js';
import { sectorBytes } from '../../lib/iso/entries.js';
import { IsoBuilder, recordedDate } from '../fixtures/iso-builder.js';
import { readerOf } from '../fixtures/iso-volume.js';

function read(image: Buffer) {
  return readDescriptors(readerOf(image), image.length);
}

function build(fill: (builder: IsoBuilder) => void): Buffer {
  const builder = new IsoBuilder();
  fill(builder);
  return builder.build();
}

t.test('the primary descriptor tells size, block size, label and root of the volume', async (t) => {
  const { primary, joliet, hasUdf } = await read(
    build((builder) => builder.descriptor({ rootBlock: 20, rootLength: 4096, label: 'NAME', blocks: 77 }).terminator()),
  );
  t.match(primary, { blocks: 77, blockSize: sectorBytes, rootBlock: 20, rootLength: 4096 });
  t.equal(primary?.rootModified, recordedDate.getTime());
  t.equal(primary?.label.toString().trim(), 'NAME');
  t.equal(joliet, undefined);
  t.equal(hasUdf, false);
});

t.test('of several primary descriptors the first counts', async (t) => {
  const image = build((builder) => {
    for (let block = 20; block < 90; block++) builder.descriptor({ rootBlock: block });
  });
  t.equal((await read(image)).primary?.rootBlock, 20, 'and no terminator is needed');
});

t.test('Joliet is known by its escape sequence, level 1, 2 or 3', async (t) => {
  for (const escape of ['%/@', '%/C', '%/E']) {
    const image = build((builder) =>
      builder.descriptor({ rootBlock: 20 }).descriptor({ type: 2, rootBlock: 21, escape }),
    );
    t.equal((await read(image)).joliet?.rootBlock, 21, escape);
  }
  for (const escape of ['', '%/A', '%/', 'x%/@']) {
    const image = build((builder) =>
      builder.descriptor({ rootBlock: 20 }).descriptor({ type: 2, rootBlock: 21, escape }),
    );
    t.equal((await read(image)).joliet, undefined, escape);
  }
});

t.test('the first Joliet descriptor ends the search, as in Linux', async (t) => {
  const image = build((builder) =>
    builder
      .descriptor({ type: 2, rootBlock: 20 })
      .descriptor({ type: 2, rootBlock: 21, escape: '%/@' })
      .descriptor({ rootBlock: 22 })
      .descriptor({ type: 2, rootBlock: 23, escape: '%/E' }),
  );
  const { primary, joliet } = await read(image);
  t.equal(joliet?.rootBlock, 21);
  t.equal(primary, undefined);
});

t.test('the terminator ends the search', async (t) => {
  t.equal((await read(build((builder) => builder.terminator().descriptor({ rootBlock: 20 })))).primary, undefined);
});

t.test('boot records and foreign sectors are passed over, for 100 sectors', async (t) => {
  const at = (sector: number) => {
    const source = build((builder) => builder.descriptor({ rootBlock: 20 })).subarray(16 * sectorBytes);
    return build((builder) => builder.descriptor({ type: 0, rootBlock: 1 }).put(sector, source).put(200, 'end'));
  };
  t.ok((await read(at(18))).primary);
  t.ok((await read(at(115))).primary);
  t.notOk((await read(at(116))).primary);
});

t.test('a file too short for a descriptor has none', async (t) => {
  for (const length of [0, 1, 16 * sectorBytes, 17 * sectorBytes - 1]) {
    const { primary } = await read(build((builder) => builder.descriptor({ rootBlock: 20 })).subarray(0, length));
    t.equal(primary, undefined, `${length} bytes`);
  }
});

t.test('UDF is known by its sector in the recognition sequence', async (t) => {
  const sequence = (...identifiers: string[]) =>
    build((builder) => {
      for (const identifier of identifiers) builder.recognition(identifier);
    });
  t.ok((await read(sequence('BEA01', 'NSR02', 'TEA01'))).hasUdf);
  t.ok((await read(sequence('CD001', 'CD001', 'BEA01', 'NSR03', 'TEA01'))).hasUdf);
  t.notOk((await read(sequence('CD001', 'BEA01', 'TEA01'))).hasUdf);
  t.notOk((await read(sequence('CD001', 'other', 'BEA01', 'NSR02'))).hasUdf, 'another ISO inside');
  t.ok((await read(sequence('BEA01', '', 'NSR03', '', 'TEA01'))).hasUdf, 'in sectors of 4096 bytes');
  t.notOk((await read(sequence('CD001', '', 'NSR02'))).hasUdf);
  t.notOk((await read(sequence('BEA01', '', 'TEA01', '', 'other', '', 'NSR02'))).hasUdf);
});

t.test('the identity stands for the descriptors and the size', async (t) => {
  const image = build((builder) => builder.descriptor({ rootBlock: 20 }).terminator().put(30, 'data'));
  const { identity } = await read(image);
  t.match(identity, /^[0-9a-f]{64}$/);
  t.equal((await read(Buffer.from(image))).identity, identity, 'the same again');
  t.not((await read(Buffer.concat([image, Buffer.alloc(1)]))).identity, identity, 'another size');
  const other = Buffer.from(image);
  other[16 * sectorBytes + 813] = 1;
  t.not((await read(other)).identity, identity, 'another time of creation');
  const data = Buffer.from(image);
  data[30 * sectorBytes] = 1;
  t.equal((await read(data)).identity, identity, 'other files are not looked at');
});
