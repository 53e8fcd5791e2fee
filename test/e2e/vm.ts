import { fileURLToPath } from 'node:url';
import t from 'tap';
import { needTools } from '../fixtures/iso-tools.js';
import { run } from '../fixtures/process.js';

const script = fileURLToPath(new URL('../vm/run.js', import.meta.url));

t.test("what needs a kernel of Debian's works under one, the short part", async (t) => {
  if (!(await needTools(t, 'qemu-system-x86_64', 'cpio', 'apt-get'))) return;
  const { code, stdout, stderr } = await run(process.execPath, [script, 'short', 'kernel']);
  if (code === 125 && process.env['CI'] === undefined) {
    t.skip(`no virtual machine: ${stderr}`, () => undefined);
    return;
  }
  t.equal(code, 0, 'the tests in the virtual machine pass', { output: stdout, errors: stderr });
  t.match(stdout, /^[1-9]\d* passed, 0 failed$/m);
});
