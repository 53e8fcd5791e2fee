import t from 'tap';
import { crcOf } from '../../../lib/iso/udf/crc.js';

t.test('the checksum is that of the standard', (t) => {
  // The example of OSTA UDF 6.5.
  t.equal(crcOf(Buffer.from([0x70, 0x6a, 0x77]), 0, 3), 0x3299);
  t.equal(crcOf(Buffer.from('123456789'), 0, 9), 0x31c3);
  t.equal(crcOf(Buffer.alloc(100), 0, 100), 0);
  t.equal(crcOf(Buffer.from('xx123456789x'), 2, 11), 0x31c3, 'of some of the bytes');
  t.equal(crcOf(Buffer.from('123'), 1, 1), 0, 'of none');
  t.end();
});
