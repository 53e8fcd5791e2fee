import t from 'tap';
import { filesOf, parseBootConfig, rewriteBootConfig } from '../../lib/systems/esxi.js';
import { esxiBootConfig } from '../fixtures/systems.js';

t.test('a boot.cfg names its kernel and its modules', (t) => {
  t.same(filesOf(esxiBootConfig), ['b.b00', 'jumpstrt.gz', 'useropts.gz', 'k.b00']);
  t.same(filesOf('kernel=/a.b00 opt=1\r\nmodules=x.gz arg --- --- /sub/y.gz\r\n'), ['a.b00', 'x.gz', 'sub/y.gz']);
  t.end();
});

t.test('for the network a boot.cfg gets the prefix and loses slashes and the disc', (t) => {
  t.equal(
    rewriteBootConfig(esxiBootConfig, 'http://10.1.1.1:9090/esxi/6.7', 'ks=http://10.1.1.1/ks.cfg'),
    `${[
      'bootstate=0',
      'title=Loading ESXi installer',
      'timeout=5',
      'build=6.7.0-8169922',
      'updated=0',
      'prefix=http://10.1.1.1:9090/esxi/6.7',
      'kernel=b.b00',
      'kernelopt=runweasel ks=http://10.1.1.1/ks.cfg',
      'modules=jumpstrt.gz --- useropts.gz --- k.b00',
    ].join('\n')}\n`,
  );
  t.match(rewriteBootConfig('kernel=/k\nmodules=/m a=1', 'http://h/t', ''), /\nkernel=k\nkernelopt=\nmodules=m a=1\n$/);
  t.end();
});

t.test('a boot.cfg that leads out of the image, or names no kernel, is refused', (t) => {
  for (const text of ['kernel=/../k', 'kernel=k\nmodules=a --- ../../etc/shadow', 'modules=a', 'kernel=\u0007']) {
    t.throws(() => parseBootConfig(text), { code: 'BAD_REQUEST' }, text);
    t.throws(() => rewriteBootConfig(text, 'http://h/t', ''), { code: 'BAD_REQUEST' }, text);
  }
  t.end();
});
