import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { type TestService, startTestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

const menu = 'label linux\n menu label Linux\n kernel vmlinuz\n append initrd=initrd.img quiet\n';

/** A service whose store has an ISO that boots by its menu, as `a.iso`. */
async function start(t: Test, settings: Readonly<Record<string, unknown>> = {}): Promise<TestService> {
  const service = await startTestService(t, settings);
  const files = { 'isolinux.cfg': menu, vmlinuz: 'kernel', 'initrd.img': 'disk', other: 'other' };
  await writeFile(join(service.folder, 'static/iso/a.iso'), smallIso(files));
  return service;
}

async function add(service: TestService, query: string): Promise<Record<string, unknown>> {
  const path = `/images?name=a&version=1&isostore=a.iso${query}`;
  const answer = await ask(service.north, path, { method: 'PUT', headers: { prefer: 'wait=10' } });
  t.equal(answer.status, 201, answer.text);
  return json(answer) as Record<string, unknown>;
}

const patch = (service: TestService, query: string) => ask(service.north, `/images?${query}`, { method: 'PATCH' });

const ofMenu = { kind: 'linux', title: 'Linux', kernel: 'vmlinuz', initrd: ['initrd.img'], args: 'quiet' };

t.test('the record says what is on the image and what it boots, also after a restart', async (t) => {
  const service = await start(t);
  const record = await add(service, '');
  t.same(record['os'], { family: 'generic', architectures: [], certainty: 'inspection' });
  t.same(record['boot'], [ofMenu]);
  const again = await service.restart();
  t.match(json(await ask(again.north, '/images')), [{ os: record['os'], boot: record['boot'] }]);
});

t.test('arguments are given with the image, changed and taken back', async (t) => {
  const service = await start(t);
  const { id } = await add(service, '&args=console%3DttyS0');
  const args = async () => (json(await ask(service.north, `/images/${String(id)}`)) as { args?: string }).args;
  t.equal(await args(), 'console=ttyS0');
  const changed = await patch(service, 'name=a&version=1&args=console%3DttyS1');
  t.match([changed.status, json(changed)], [200, { id, args: 'console=ttyS1' }]);
  const again = await service.restart();
  t.match(json(await ask(again.north, '/images')), [{ args: 'console=ttyS1', status: 'OK' }]);
  t.equal((await patch(again, `id=${String(id)}&args=`)).status, 200);
  t.notHas((json(await ask(again.north, '/images')) as object[])[0], 'args');
});

t.test('the operator names another kernel, and the record has it at once', async (t) => {
  const service = await start(t);
  await add(service, '&kernel=/other');
  const [record] = json(await ask(service.north, '/images')) as { boot: unknown[] }[];
  t.same(record?.boot, [{ kind: 'linux', kernel: 'other' }, ofMenu]);
  const answer = await patch(service, 'name=a&version=1&kernel=vmlinuz&initrd=other,initrd.img');
  t.match(json(answer), { boot: [{ kernel: 'vmlinuz', initrd: ['other', 'initrd.img'] }, ofMenu] });
  t.match(json(await patch(service, 'name=a&version=1&system=debian')), {
    os: { signature: 'debian', certainty: 'given' },
  });
});

t.test('what cannot be is refused, and nothing changes', async (t) => {
  const service = await start(t);
  const refused = await ask(service.north, '/images?name=a&version=1&isostore=a.iso&args=a%0Ab', { method: 'PUT' });
  t.match([refused.status, refused.text], [400, /one line/]);
  t.same(json(await ask(service.north, '/images')), []);
  await add(service, '&args=quiet');
  const wrong: readonly (readonly [query: string, status: number, message: RegExp])[] = [
    ['name=a&version=1&args=a%0Ab', 400, /one line/],
    ['name=a&version=1&kernel=../x', 400, /no way up/],
    ['name=a&version=1&system=beos', 400, /allowed: alpine/],
    ['name=a&version=1', 400, /What is to change\? Give at least one of system, kernel, initrd, args/],
    ['name=a&args=x', 400, /Which image/],
    ['name=a&version=2&args=x', 404, /no such image/],
    ['name=a&version=1&iso=b.iso', 400, /Unknown parameter/],
    ['name=&version=1&args=x', 400, /name is empty/],
  ];
  for (const [query, status, message] of wrong) {
    const answer = await patch(service, query);
    t.match([answer.status, answer.text], [status, message], query);
  }
  t.match(json(await ask(service.north, '/images')), [{ args: 'quiet', boot: [ofMenu] }]);
});

t.test('JSON and a form say it as well as the query', async (t) => {
  const service = await start(t);
  await add(service, '');
  const bodies = [
    ['application/json', JSON.stringify({ name: 'a', version: '1', args: 'one' }), 'one'],
    ['application/x-www-form-urlencoded', 'name=a&version=1&args=two', 'two'],
  ] as const;
  for (const [type, body, args] of bodies) {
    const answer = await ask(service.north, '/images', { method: 'PATCH', headers: { 'content-type': type }, body });
    t.match([answer.status, json(answer)], [200, { args }]);
  }
});

t.test('signatures of the operator go before those of the service, and are read again on a reload', async (t) => {
  const folder = t.testdir({
    'systems.json': JSON.stringify({
      signatures: [{ name: 'ours', certainty: 'exact', when: [{ file: 'other' }], os: { family: 'ours' } }],
    }),
  });
  const systemsFile = join(folder, 'systems.json');
  const service = await start(t, { systemsFile });
  t.match(await add(service, ''), { os: { family: 'ours', signature: 'ours' }, boot: [ofMenu] });
  await writeFile(systemsFile, JSON.stringify({ signatures: [] }));
  await service.service.reload(service.config);
  t.match(json(await ask(service.north, '/images')), [{ os: { family: 'generic' } }]);
  await writeFile(systemsFile, '{');
  await t.rejects(service.service.reload(service.config), { code: 'BAD_REQUEST', message: /^systemsFile: not JSON/ });
});
