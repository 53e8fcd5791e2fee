import t from 'tap';
import { ask, json } from '../fixtures/client.js';
import { startTestService, type TestService } from '../fixtures/service.js';
import { addImage } from '../fixtures/southbound.js';

const patch = ({ north }: TestService, name: string, aliases: string) =>
  ask(north, `/images?name=${name}&version=7&aliases=${encodeURIComponent(aliases)}`, { method: 'PATCH' });

/** In the main process, and in a worker. */
for (const southboundWorkers of [0, 1]) {
  t.test(`an image is also where its aliases say, with ${southboundWorkers} workers`, async (t) => {
    const service = await startTestService(t, { southboundWorkers });
    await addImage(service, 'centos/7', { readme: 'centos', os: 'a file' });
    const { south } = service;
    t.equal((await ask(south, '/centos/7/os/x86_64/readme')).status, 404);
    const changed = await patch(service, 'centos', '/centos/7/os/x86_64 /distribution/leap%20/repo');
    t.match([changed.status, json(changed)], [200, { aliases: ['centos/7/os/x86_64', 'distribution/leap /repo'] }]);
    for (const path of [
      '/centos/7/os/x86_64/readme',
      '/CentOS//7/os/X86_64/README',
      '/distribution/leap%20/repo/readme',
    ]) {
      const answer = await ask(south, path);
      t.match([answer.status, answer.text], [200, 'centos'], path);
    }
    t.equal((await ask(south, '/centos/7/os')).text, 'a file', 'what is not the alias is the image itself');
    t.match((await ask(south, '/centos/7/os/x86_64?format=text')).headers, { location: './x86_64/?format=text' });
    t.match((await ask(south, '/centos/7/os/x86_64/?format=text')).text, /readme/);
    const again = await service.restart();
    t.equal((await ask(again.south, '/centos/7/os/x86_64/readme')).text, 'centos');
    t.equal((await patch(again, 'centos', '')).status, 200);
    t.equal((await ask(again.south, '/centos/7/os/x86_64/readme')).status, 404);
    await patch(again, 'centos', '/latest');
    t.equal((await ask(again.south, '/latest/readme')).text, 'centos');
    await ask(again.north, '/images?name=centos&version=7', { method: 'DELETE' });
    t.equal((await ask(again.south, '/latest/readme')).status, 404);
  });
}

t.test('a place has one image', async (t) => {
  const service = await startTestService(t);
  await addImage(service, 'centos/7', { readme: 'centos' });
  await addImage(service, 'rhel/7', { readme: 'rhel' });
  const { north } = service;
  t.equal((await patch(service, 'centos', '/os/7 /latest')).status, 200);
  t.equal((await patch(service, 'centos', '/latest /os/7')).status, 200, 'its own it may keep');
  const taken: readonly (readonly [aliases: string, status: number, message: RegExp])[] = [
    ['/OS/7', 409, /\/OS\/7 leads to centos 7 already/],
    ['/Centos/7', 409, /leads to centos 7 already/],
    ['/iso/x', 400, /The alias \/iso\/x is in use by the service/],
    ['/healthz', 400, /in use by the service/],
    ['/', 400, /aliases must be paths such as/],
    ['latest', 400, /a path that begins with \//],
    ['/a/../b', 400, /no way up/],
    ['/a%2Fb', 400, /no slash or NUL/],
    [Array.from({ length: 21 }, (_, index) => `/a${index}`).join(' '), 400, /aliases are 21; allowed: at most 20/],
  ];
  for (const [aliases, status, message] of taken) {
    const answer = await patch(service, 'rhel', aliases);
    t.match([answer.status, answer.text], [status, message], aliases);
  }
  const same = await ask(north, '/images?name=os&version=7&isostore=rhel-7.iso', { method: 'PUT' });
  t.match([same.status, same.text], [409, /\/os\/7 leads to centos 7 already/]);
  const both = await Promise.all(['centos', 'rhel'].map((name) => patch(service, name, '/both')));
  t.same(both.map(({ status }) => status).sort(), [200, 409]);
});
