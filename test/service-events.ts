import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Hashing } from '../lib/images/hashing.js';
import { createLog } from '../lib/log.js';
import { ServiceEvents } from '../lib/service-events.js';
import { temporaryFolder } from './fixtures/service.js';
import { waitFor } from './fixtures/wait.js';

t.test('what a store holds when it opens is no news, and what comes and goes through it is told at once', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'before'), 'x');
  const hashing = new Hashing();
  const log = createLog(5, () => undefined);
  const events = new ServiceEvents(log, 60_000);
  const told: string[] = [];
  events.changes.subscribe((change) => {
    if (change.kind === 'file') told.push(change.file.name);
    if (change.kind === 'file-removed') told.push(`no ${change.name}`);
  });
  const passedOn: string[] = [];
  const store = await events.openStore('iso', folder, {
    ...{ log, hashing, keptFor: () => 1000 },
    tell: (name) => Promise.resolve(passedOn.push(name)),
  });
  t.same(told, []);
  await writeFile(join(folder, 'beside'), 'x');
  await store.remove('before');
  await waitFor('its end', () => told.length === 2);
  t.same(told, ['no before', 'beside'], 'with what has come by hand since');
  t.same(passedOn, ['before'], 'and the worker processes are told as ever');
  await store.stop();
  await hashing.stop();
  events.stop();
});
