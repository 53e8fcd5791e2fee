import t from 'tap';
import { Aliases } from '../../lib/images/aliases.js';

const aliases = new Aliases([
  ['centos/7/os/x86_64', 'seven'],
  ['centos', 'all'],
  ['ESXi/latest', 'esxi'],
  ['esxi/latest', 'other'],
]);
const find = (path: string, match: 'exact' | 'any-case' = 'exact') => aliases.find(path.split('/'), match);

t.test('the longest alias that a path begins with counts', (t) => {
  t.same(find('centos/7/os/x86_64/images/pxeboot/vmlinuz'), { image: 'seven', depth: 4 });
  t.same(find('centos/7/os/x86_64'), { image: 'seven', depth: 4 });
  t.same(find('centos/7/os'), { image: 'all', depth: 1 });
  t.equal(find('centos7'), undefined);
  t.equal(new Aliases([]).find(['a'], 'exact'), undefined);
  t.end();
});

t.test('in any case the first of several that differ by case counts', (t) => {
  t.equal(find('esxi/latest/boot.cfg')?.image, 'other');
  t.equal(find('ESXI/LATEST/boot.cfg'), undefined);
  t.equal(find('ESXI/LATEST/boot.cfg', 'any-case')?.image, 'esxi');
  t.end();
});
