import t from 'tap';
import { readBundle } from '../../lib/images/bundle.js';

const understood: readonly (readonly [text: string, files: Readonly<Record<string, string>>])[] = [
  ['a.img', { 'a.img': 'a.img' }],
  [' a  b\n', { a: 'a', b: 'b' }],
  ['Boot/BCD=winpe-bcd /x//y=a', { 'Boot/BCD': 'winpe-bcd', 'x/y': 'a' }],
  ['a%20b=c%3Dd', { 'a b': 'c=d' }],
  ['', {}],
];

const refused: readonly (readonly [text: string, message: RegExp])[] = [
  ['a=b=c', /"a=b=c" is not allowed: NAME or PATH=NAME, in which %3D is =/],
  ['=a', /NAME or PATH=NAME of a file/],
  ['a=', /NAME or PATH=NAME of a file|bundle "" is not allowed/],
  ['a=x/y', /of a file in the microkernel store/],
  ['../a=b', /no way up/],
  ['a=.hidden', /no dot at its beginning/],
  ['a A=b', /each path once, in whatever case/],
  ['a/b=x a=y', /no path that is a folder of another/],
  ['a=x a/b=y', /no path that is a folder of another/],
  ['%zz', /hexadecimal/],
  [Array.from({ length: 201 }, (_, index) => `f${index}`).join(' '), /"201 files" is not allowed: at most 200/],
];

t.test('a bundle names files, each with its path in the image where that is another', (t) => {
  for (const [text, files] of understood) t.same(Object.fromEntries(readBundle(text)), files, text);
  t.end();
});

t.test('what would be no tree, or no file of the store, is refused', (t) => {
  for (const [text, message] of refused)
    t.throws(() => readBundle(text), { code: 'BAD_REQUEST', message }, String(message));
  t.end();
});
