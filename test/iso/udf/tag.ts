import t from 'tap';
import { hasTag, readTag, tags } from '../../../lib/iso/udf/tag.js';
import { descriptor } from '../../fixtures/udf-builder.js';

const body = Buffer.from('some bytes of a descriptor');

function block(...options: Parameters<typeof descriptor>): Buffer {
  const bytes = Buffer.alloc(2048);
  descriptor(...options).copy(bytes);
  return bytes;
}

t.test('a descriptor has the identifier of its tag', (t) => {
  t.equal(readTag(block(tags.anchor, 256, body), 256), tags.anchor);
  t.equal(readTag(block(tags.fileEntry, 0xffffffff, body, { version: 3 }), 0xffffffff), tags.fileEntry);
  t.equal(readTag(block(tags.anchor, 1, Buffer.alloc(0)), 1), tags.anchor, 'without anything behind the tag');
  t.end();
});

t.test('a tag with a wrong checksum, version, location or CRC is none', (t) => {
  const anchor = (location: number, options = {}) => readTag(block(tags.anchor, location, body, options), 256);
  t.equal(anchor(257), undefined, 'location');
  t.equal(anchor(256, { checksum: 0 }), undefined, 'checksum');
  t.equal(anchor(256, { crc: 1 }), undefined, 'CRC');
  for (const version of [0, 1, 4]) t.equal(anchor(256, { version }), undefined, `version ${version}`);
  const changed = block(tags.anchor, 256, body);
  changed.writeUInt8(1, 30);
  t.equal(readTag(changed, 256), undefined, 'a changed byte');
  t.equal(readTag(Buffer.alloc(15), 0), undefined, 'less than a tag');
  t.end();
});

t.test('as in Linux, a CRC over more than the block is not looked at', (t) => {
  t.equal(readTag(block(tags.anchor, 256, body, { crcLength: 2033, crc: 1 }), 256), tags.anchor);
  t.equal(readTag(block(tags.anchor, 256, body, { crcLength: 2032, crc: 1 }), 256), undefined);
  t.end();
});

t.test('a tag amid other bytes is known by itself alone', (t) => {
  const bytes = Buffer.concat([Buffer.alloc(4), descriptor(tags.fileIdentifier, 7, body, { crc: 1 })]);
  t.ok(hasTag(bytes, 4, tags.fileIdentifier));
  t.notOk(hasTag(bytes, 4, tags.fileEntry));
  t.notOk(hasTag(bytes, 0, tags.fileIdentifier));
  t.notOk(hasTag(bytes.subarray(0, 19), 4, tags.fileIdentifier), 'cut off');
  t.end();
});
