import t from 'tap';
import type { Credentials } from '../../lib/access/authorization.js';
import type { Entry } from '../../lib/access/entries.js';
import { Throttle, throttleLimits } from '../../lib/access/throttle.js';
import { Verifier } from '../../lib/access/verifier.js';
import { CountedScrypt, passwordEntry, tokenEntry } from '../fixtures/access.js';
import { deferred } from '../fixtures/http-server.js';

const here = '192.0.2.1';
const there = '192.0.2.2';

async function setup() {
  const scrypt = new CountedScrypt();
  const { entry: token, parts } = await tokenEntry('ci', {}, scrypt.hash);
  const password = await passwordEntry('anna', 'correct horse', {}, scrypt.hash);
  const clock = { now: 0 };
  const verifier = new Verifier(scrypt.hash, new Throttle(throttleLimits, () => clock.now));
  verifier.use([token, password]);
  scrypt.calls = 0;
  const byToken: Credentials = { kind: 'token', key: parts.id, secret: parts.secret };
  const byPassword = (secret: string, key = 'anna'): Credentials => ({ kind: 'password', key, secret });
  return { scrypt, verifier, clock, token, password, byToken, byPassword };
}

const right = (entry: Entry) => ({ outcome: 'right', entry });
const wrong = { outcome: 'wrong' };

t.test('scrypt is asked once for a right token or password, however often it comes', async (t) => {
  const { verifier, scrypt, token, password, byToken, byPassword } = await setup();
  for (let time = 0; time < 5; time++) {
    t.same(await verifier.verify(byToken, here), right(token));
    t.same(await verifier.verify(byPassword('correct horse'), there), right(password));
  }
  t.equal(scrypt.calls, 2);
  t.same(await verifier.verify(byToken, there), right(token), 'from anywhere');
  t.equal(scrypt.calls, 2);
});

t.test('many requests at once with what is new to us ask scrypt once', async (t) => {
  const { verifier, scrypt, token, byToken, byPassword } = await setup();
  const verdicts = await Promise.all(Array.from({ length: 20 }, () => verifier.verify(byToken, here)));
  for (const verdict of verdicts) t.same(verdict, right(token));
  t.equal(scrypt.calls, 1);
  const same = await Promise.all(Array.from({ length: 20 }, () => verifier.verify(byPassword('stale'), here)));
  for (const verdict of same) t.same(verdict, wrong, 'and are one failure');
  t.equal(scrypt.calls, 2);
});

t.test('what is wrong is wrong each time, and costs the same whether the name is there or not', async (t) => {
  const { verifier, scrypt, byToken, byPassword } = await setup();
  const cases: [what: string, credentials: Credentials][] = [
    ['a wrong password', byPassword('correct horsf')],
    ['no password', byPassword('')],
    ['an unknown name', byPassword('correct horse', 'nobody')],
    ['a wrong secret', { ...byToken, secret: 'S'.repeat(43) }],
    ['an unknown id', { ...byToken, key: 'abcdefghijkl' }],
    ['no token of ours', { kind: 'token', key: '', secret: 'abc' }],
    ['a token as a password', { ...byToken, kind: 'password' }],
    ['a password as a token', { ...byPassword('correct horse'), kind: 'token' }],
  ];
  for (const [what, credentials] of cases) {
    const before = scrypt.calls;
    t.same(await verifier.verify(credentials, here), wrong, what);
    t.equal(scrypt.calls, before + 1, what);
  }
});

t.test('the name of a token opens nothing', async (t) => {
  const { verifier, byToken } = await setup();
  t.same(await verifier.verify({ ...byToken, key: 'ci' }, here), wrong);
});

t.test('a change of the entries forgets what was verified', async (t) => {
  const { verifier, scrypt, token, password, byToken } = await setup();
  await verifier.verify(byToken, here);
  verifier.use([token, password]);
  t.same(await verifier.verify(byToken, here), right(token));
  t.equal(scrypt.calls, 2);
  verifier.use([password]);
  t.same(await verifier.verify(byToken, here), wrong);
});

t.test('what is removed while it is being checked is not remembered as right', async (t) => {
  const { verifier, scrypt, password, token, byToken } = await setup();
  const hold = deferred();
  scrypt.gate = hold.promise;
  const checking = verifier.verify(byToken, here);
  verifier.use([password]);
  hold.resolve();
  await checking;
  t.same(await verifier.verify(byToken, here), wrong);
  verifier.use([token]);
  const before = scrypt.calls;
  t.same(await verifier.verify(byToken, here), right(token));
  t.equal(scrypt.calls, before + 1);
});

t.test('after ten failures an address is slowed, and others are not', async (t) => {
  const { verifier, scrypt, clock, password, byPassword } = await setup();
  for (let guess = 0; guess < 10; guess++) {
    t.same(await verifier.verify(byPassword(`guess ${guess}`, `name${guess}`), here), wrong);
  }
  const before = scrypt.calls;
  t.same(await verifier.verify(byPassword('guess'), here), { outcome: 'slowed', after: 6000 });
  t.same(await verifier.verify(byPassword('correct horse'), here), { outcome: 'slowed', after: 6000 });
  t.equal(scrypt.calls, before, 'for nothing');
  t.same(await verifier.verify(byPassword('correct horse'), there), right(password));
  clock.now += 6000;
  t.same(await verifier.verify(byPassword('guess'), here), wrong);
  t.match(await verifier.verify(byPassword('guess'), here), { outcome: 'slowed' });
});

t.test('guesses at once are counted before they are checked', async (t) => {
  const { verifier, scrypt, byPassword } = await setup();
  const guesses = Array.from({ length: 16 }, (_, guess) => verifier.verify(byPassword(`guess ${guess}`), here));
  const outcomes = (await Promise.all(guesses)).map(({ outcome }) => outcome);
  t.equal(outcomes.filter((outcome) => outcome === 'wrong').length, 10);
  t.equal(outcomes.filter((outcome) => outcome === 'slowed').length, 6);
  t.equal(scrypt.calls, 10);
});

t.test('whoever guesses from an operator’s address does not shut the operator out', async (t) => {
  const { verifier, token, password, byToken, byPassword } = await setup();
  await verifier.verify(byPassword('correct horse'), here);
  for (let guess = 0; guess < 50; guess++) await verifier.verify(byPassword(`guess ${guess}`), here);
  for (let guess = 0; guess < 50; guess++) await verifier.verify({ ...byToken, key: 'x'.repeat(12) }, here);
  t.match(await verifier.verify(byPassword('guess'), here), { outcome: 'slowed' });
  t.same(await verifier.verify(byToken, here), right(token), 'a token that was never seen');
  t.same(await verifier.verify(byPassword('correct horse'), here), right(password), 'a password that was right before');
});

t.test('guesses at the secret of a token whose id has leaked are slowed too', async (t) => {
  const { verifier, byToken } = await setup();
  const outcomes: string[] = [];
  for (let guess = 0; guess < 12; guess++) {
    outcomes.push((await verifier.verify({ ...byToken, secret: `guess ${guess}` }, here)).outcome);
  }
  t.same(outcomes.slice(8), ['wrong', 'wrong', 'slowed', 'slowed']);
});

t.test('a flood from everywhere takes two threads at most, and tokens that exist do not wait for it', async (t) => {
  const { verifier, scrypt, token, byToken, byPassword } = await setup();
  const hold = deferred();
  scrypt.gate = hold.promise;
  const flood = Array.from({ length: 100 }, (_, index) =>
    verifier.verify(byPassword(`guess ${index}`), `198.51.100.${index}`).then(
      ({ outcome }) => outcome,
      (error: unknown) => (error as { code?: string }).code,
    ),
  );
  const holder = verifier.verify(byToken, here);
  while (scrypt.running < 2) await new Promise((resolve) => setImmediate(resolve));
  hold.resolve();
  t.same(await holder, right(token));
  const outcomes = await Promise.all(flood);
  t.equal(outcomes.filter((outcome) => outcome === 'wrong').length, 17);
  t.equal(outcomes.filter((outcome) => outcome === 'UNAVAILABLE').length, 83);
  t.equal(scrypt.most, 2);
});

t.test('when scrypt itself fails nobody is let in, and nobody has failed', async (t) => {
  const { entry, parts } = await tokenEntry('ci', {}, new CountedScrypt().hash);
  let fails = true;
  const working = new CountedScrypt();
  const verifier = new Verifier((...given) =>
    fails ? Promise.reject(new Error('no memory')) : working.hash(...given),
  );
  verifier.use([entry]);
  const credentials: Credentials = { kind: 'token', key: parts.id, secret: parts.secret };
  for (let time = 0; time < 20; time++) await t.rejects(verifier.verify(credentials, here), { message: 'no memory' });
  fails = false;
  t.same(await verifier.verify(credentials, here), right(entry));
});
