/** The tests for the virtual machine in one process, as starting one takes long under an emulated processor. */
import { requireVm } from '../fixtures/vm.js';

const { part } = requireVm();

const short = ['oracle', 'udf', 'loop', 'modules'];
const long = ['loop-changes', 'conformance'];
/** Tests that run everywhere: elsewhere something stands in for the kernel, or the machine may not allow them at all. */
const everywhere = ['loop', 'fuse', 'leftovers', 'unmount', 'mount-points', 'drivers', 'auto'];

const all = [...short, ...long, ...everywhere.map((name) => `../mount/${name}`)];

for (const name of part === 'short' ? short : all) await import(new URL(`${name}.js`, import.meta.url).href);
