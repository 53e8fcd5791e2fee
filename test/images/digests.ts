import t from 'tap';
import { algorithmOf, checkDigests, demanded, mergeDemands } from '../../lib/images/digests.js';

const sha256 = 'a1'.repeat(32);
const sha512 = 'b2'.repeat(64);
const md5 = 'c3'.repeat(16);
const other = 'd4'.repeat(32);

t.test('a digest in hexadecimal is told by its length', (t) => {
  t.equal(algorithmOf(md5), 'md5');
  t.equal(algorithmOf(sha256.toUpperCase()), 'sha256');
  t.equal(algorithmOf(sha512), 'sha512');
  for (const text of [
    '',
    'a',
    `${sha256}0`,
    'g'.repeat(64),
    'a'.repeat(40),
    `${sha256.slice(1)}\n`,
    `0x${md5.slice(2)}`,
  ]) {
    t.equal(algorithmOf(text), undefined, JSON.stringify(text));
  }
  t.end();
});

t.test('parameters demand digests in any case', (t) => {
  t.same(demanded({}), {});
  t.same(demanded({ sha256 }), { sha256 });
  t.same(demanded({ sha256: sha256.toUpperCase(), sha512, md5 }), { sha256, sha512, md5 });
  const others = { name: 'x.iso', sha256 };
  t.same(demanded(others), { sha256 }, 'and other parameters demand nothing');
  t.end();
});

t.test('a parameter that is no digest of its algorithm is refused by its name', (t) => {
  const refused = (parameters: Parameters<typeof demanded>[0], message: string) => {
    t.throws(() => demanded(parameters), { code: 'BAD_REQUEST', message });
  };
  refused({ sha256: md5 }, 'sha256 must be 64 hexadecimal digits');
  refused({ sha512: sha256 }, 'sha512 must be 128 hexadecimal digits');
  refused({ sha256, md5: sha256 }, 'md5 must be 32 hexadecimal digits');
  refused({ md5: '' }, 'md5 must be 32 hexadecimal digits');
  refused({ sha256: `${sha256} ` }, 'sha256 must be 64 hexadecimal digits');
  refused({ sha256: 'z'.repeat(64) }, 'sha256 must be 64 hexadecimal digits');
  t.end();
});

t.test('what two places say about a file is put together, unless they contradict each other', (t) => {
  t.same(mergeDemands({}, {}), {});
  t.same(mergeDemands({ sha256 }, { md5 }), { sha256, md5 });
  t.same(mergeDemands({ sha256, sha512 }, { sha256 }), { sha256, sha512 });
  const message = new RegExp(`sha256 .* ${sha256} and ${other}$`);
  t.throws(() => mergeDemands({ sha256, md5 }, { sha256: other, md5 }), { code: 'BAD_REQUEST', message });
  t.end();
});

t.test('a file with other bytes than demanded is refused, and the message says which and why', (t) => {
  const computed = { sha256, sha512, md5 };
  t.doesNotThrow(() => checkDigests({}, computed));
  t.doesNotThrow(() => checkDigests({ sha256 }, computed));
  t.doesNotThrow(() => checkDigests(computed, computed));
  t.throws(() => checkDigests({ sha512, sha256: other }, computed), {
    code: 'DIGEST_MISMATCH',
    message: `The sha256 of the file is ${sha256}; it should be ${other}`,
  });
  t.end();
});

t.test('a digest that is demanded and was not computed never passes', (t) => {
  t.throws(() => checkDigests({ md5 }, { sha256 }), { message: /md5 .* was not computed/ });
  t.end();
});
