import t from 'tap';
import { readSignatures } from '../../lib/systems/signatures.js';
import { shipped } from '../fixtures/systems.js';

const whole = { name: 'a', certainty: 'exact', when: [], os: { family: 'a' } };

/** A signature that differs from a whole one. */
function signature(members: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ signatures: [{ ...whole, ...members }] });
}

const refused: readonly (readonly [text: string, message: RegExp])[] = [
  ['{', /^f: not JSON/],
  ['[]', /^f must be an object$/],
  ['{"signature": []}', /^f: "signature" must be one of signatures$/],
  ['{"signatures": {}}', /^f: signatures must be a list$/],
  [signature({ name: '' }), /^f: signatures\[0\]\.name must be a text in one line$/],
  [signature({ certainty: 'perhaps' }), /certainty must be one of exact, fallback$/],
  [signature({ when: [{ file: 'a', label: 'b' }] }), /when\[0\] must be about one of file, label, image, value$/],
  [signature({ when: [{}] }), /about one of/],
  [signature({ when: [{ label: '(' }] }), /when\[0\]\.label must be a regular expression \(Invalid/],
  [signature({ when: [{ value: '{a}' }] }), /when\[0\]\.text must be given$/],
  [signature({ when: [{ file: 'a', key: 'k', text: 'x' }] }), /with section and text where it has a key$/],
  [signature({ when: [{ file: 'a', optional: 'yes' }] }), /optional must be true or false$/],
  [signature({ os: {} }), /os\.family must be a text in one line$/],
  [signature({ boot: [{ kind: 'floppy' }] }), /boot\[0\]\.kind must be one of linux, multiboot, esxi, iso$/],
  [signature({ boot: [{ args: 'a\nb' }] }), /boot\[0\]\.args must be a text in one line$/],
  [signature({ like: 'b' }), /like must be a signature before it$/],
  [signature({ rackhd: [{ graph: 1 }] }), /rackhd\[0\]\.graph must be a text in one line$/],
  [JSON.stringify({ signatures: [whole, whole] }), /signatures\[1\]\.name must be another one than those before it$/],
  [JSON.stringify({ signatures: [{ name: 'a' }] }), /certainty must be exact or fallback$/],
];

t.test('a file of signatures that is wrong is refused by the place that is', (t) => {
  for (const [text, message] of refused) {
    t.throws(() => readSignatures(text, 'f'), { code: 'BAD_REQUEST', message }, text.slice(0, 80));
  }
  t.end();
});

t.test('one signature takes over what another one boots', (t) => {
  const [first, second] = readSignatures(
    JSON.stringify({
      signatures: [
        { ...whole, boot: [{ kernel: 'k' }], rackhd: [{ graph: 'G' }] },
        { ...whole, name: 'b', like: 'a' },
      ],
    }),
    'f',
  );
  t.same(second?.boot, first?.boot);
  t.same(second?.rackhd, [{ when: [], graph: 'G', options: {} }]);
  t.end();
});

t.test('the signatures that come with the service have different names, and all of them boot something', (t) => {
  t.equal(new Set(shipped.map(({ name }) => name)).size, shipped.length);
  for (const { name, boot } of shipped) t.ok(boot.length > 0, name);
  t.end();
});
