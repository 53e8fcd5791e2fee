import { readFile } from 'node:fs/promises';
import t from 'tap';
import { readVersion } from '../lib/service-version.js';

t.test('the version is the one of package.json', async (t) => {
  const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as object;
  t.match(manifest, { version: await readVersion() });
  t.match(await readVersion(), /^\d+\.\d+\.\d+$/);
});
