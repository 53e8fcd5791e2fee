import t from 'tap';
import { parse, serialize } from '../../lib/images/record.js';

const good = { id: '1', name: 'ubuntu', version: '14.04', iso: '/iso/u.iso', status: 'OK' };

function load(content: unknown) {
  return parse(Buffer.from(JSON.stringify(content)));
}

t.test('a file of the released service loads as it is', (t) => {
  const { records, problems } = load({ images: [good, { ...good, id: '2', status: 'preparing' }] });
  t.same([...records.values()], [good, { ...good, id: '2', status: 'preparing' }]);
  t.same(problems, []);
  t.end();
});

t.test('what a newer service has added survives reading and writing', (t) => {
  const content = { images: [{ ...good, tags: ['a'], __proto: { deep: 1 } }], format: 2 };
  const { records, others, problems } = load(content);
  t.same(problems, []);
  t.same(JSON.parse(serialize(records, others)), content);
  t.end();
});

t.test('a file of another shape is refused', (t) => {
  for (const text of ['', '   ', '{', '[]', 'null', '1', '"x"', '{}', '{"images":{}}', '{"images":null}', '{}{}']) {
    t.throws(() => parse(Buffer.from(text)), JSON.stringify(text));
  }
  t.throws(() => parse(Buffer.from('{"images":[],"a":"\xe9"}', 'latin1')), 'not UTF-8');
  t.doesNotThrow(() => parse(Buffer.from('\ufeff{"images":[]}')), 'an editor has put a byte order mark first');
  t.end();
});

t.test('a malformed record is reported and does not take the others with it', (t) => {
  const bad: [unknown, RegExp][] = [
    [null, /no object/],
    [[], /no object/],
    ['text', /no object/],
    [{ ...good, name: undefined }, /"name"/],
    [{ ...good, id: 7 }, /"id"/],
    [{ ...good, version: 14.04 }, /"version"/],
    [{ ...good, iso: null }, /"iso"/],
    [{ ...good, status: true }, /"status"/],
  ];
  for (const [record, problem] of bad) {
    const { records, problems } = load({ images: [{ ...good, id: '0' }, record, { ...good, id: '2' }] });
    t.same([...records.keys()], ['0', '2'], JSON.stringify(record));
    t.equal(problems.length, 1);
    t.match(problems[0], /^images\[1\]: /);
    t.match(problems[0], problem);
  }
  t.end();
});

t.test('of two records with one id the first loads', (t) => {
  const { records, problems } = load({ images: [good, { ...good, name: 'other' }] });
  t.same([...records.values()], [good]);
  t.match(problems, [/^images\[1\]: its id is taken/]);
  t.end();
});

t.test('an optional member of the wrong type is left out and reported', (t) => {
  const wrong = { error: 1, source: { kind: 'ftp', value: 'x' }, bytes: '12', createdAt: 5 };
  const { records, problems } = load({ images: [{ ...good, ...wrong, own: 1 }] });
  t.same(records.get('1'), { ...good, own: 1 });
  t.equal(problems.length, 4);
  const right = { error: 'e', source: { kind: 'isoweb', value: 'x' }, bytes: 12, createdAt: '2026-01-01T00:00:00Z' };
  t.same(load({ images: [{ ...good, ...right }] }), {
    records: new Map([['1', { ...good, ...right }]]),
    others: {},
    problems: [],
  });
  t.end();
});

t.test('an unknown status is a failed image that says why', (t) => {
  const { records, problems } = load({ images: [{ ...good, status: 'ok', error: 'old' }] });
  t.same(problems, []);
  t.match(records.get('1'), { ...good, status: 'failed', error: /unknown status "ok"/ });
  t.end();
});
