import { readFile } from 'node:fs/promises';
import t from 'tap';
import { ask, json } from '../fixtures/client.js';
import { withTable } from '../fixtures/configuration-table.js';
import { run, startProcess } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';
import { needs } from '../fixtures/e2e-tools.js';

const root = new URL('../../../', import.meta.url);

const needed = await needs('curl', 'bash', '/usr/lib/ipxe/ipxe.iso', '/usr/lib/grub-rescue/grub-rescue-cdrom.iso');

t.test('every example of the README runs as it is written', needed, async (t) => {
  const folder = await temporaryFolder(t);
  const { north, south } = await startProcess(t, folder);
  const readme = await readFile(new URL('README.md', root), 'utf8');
  const examples = [...readme.matchAll(/^```sh\n(.*?)^```/gms)].map(([, text = '']) => text);
  t.ok(examples.length >= 4);
  const script = examples
    .join('\n')
    .replaceAll('http://localhost:7070', north)
    .replaceAll('http://localhost:9090', south);
  // An operator would see the error; the script has to stop at it.
  const strict = 'curl() { command curl --silent --show-error --fail "$@" || exit; }\n';
  const { code, stdout, stderr } = await run('bash', ['-c', strict + script], { cwd: folder });
  t.equal(code, 0, stderr);
  t.match(stdout, /Uploaded 10 %\n[^]*Uploaded 100 %\nUpload finished!\n/);
  const settled = async (): Promise<{ name: string; version: string; status: string }[]> => {
    const images = json(await ask(north, '/images')) as { name: string; version: string; status: string }[];
    if (images.some(({ status }) => status !== 'OK' && status !== 'failed')) return settled();
    return images;
  };
  t.same(
    (await settled()).map(({ name, version, status }) => `${name} ${version} ${status}`),
    ['ipxe 1.0 OK', 'ipxe 1.1 OK', 'ipxe 1.2 OK', 'grub 2.06 OK', 'ipxe 1.3 OK', 'tools 1 OK', 'ipxe plain OK'],
  );
});

t.test('the README names every configuration key with its default and its meaning', async (t) => {
  const readme = await readFile(new URL('README.md', root), 'utf8');
  t.equal(readme, await withTable(readme), '`npm run readme` brings it up to date');
  t.match(readme, '| `minFreeBytes` | `104857600` | free bytes');
});
