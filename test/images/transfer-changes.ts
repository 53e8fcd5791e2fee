import t from 'tap';
import { Changes, type Transfer } from '../../lib/images/changes.js';
import { TransferChanges } from '../../lib/images/transfer-changes.js';
import { deferred } from '../fixtures/http-server.js';
import { waitFor } from '../fixtures/wait.js';

function start() {
  const changes = new Changes((error) => t.error(error));
  const heard: Transfer[] = [];
  changes.subscribe((change) => {
    if (change.kind === 'progress') heard.push(change.transfer);
  });
  const end = deferred();
  const incoming = { bytes: 0, length: 100, rate: 7, ended: end.promise };
  const transfers = new TransferChanges('iso', changes, 5);
  return { transfers, incoming, heard, end: () => end.resolve() };
}

t.test('a transfer is told of when it has moved, and once when it has ended', async (t) => {
  const { transfers, incoming, heard, end } = start();
  transfers.follow('a.iso', incoming);
  incoming.bytes = 10;
  await waitFor('the first', () => heard.length === 1);
  const transfer = { place: 'iso', name: 'a.iso', total: 100, rate: 7 };
  t.same(heard, [{ ...transfer, bytes: 10, hasEnded: false }]);
  incoming.bytes = 100;
  end();
  await waitFor('the end', () => heard.at(-1)?.hasEnded === true);
  t.same(heard.at(-1), { ...transfer, bytes: 100, hasEnded: true });
  const { length } = heard;
  incoming.bytes = 200;
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(heard.length, length, 'nothing comes behind the end');
});

t.test('one that does not move, or is over at once, is not told of', async (t) => {
  const { transfers, incoming, heard, end } = start();
  transfers.follow('waits.iso', incoming);
  const other = start();
  transfers.follow('short.iso', { ...other.incoming, ended: Promise.resolve() });
  await new Promise((resolve) => setTimeout(resolve, 30));
  end();
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.same(heard, []);
});

t.test('transfers that come later are told of, too', async (t) => {
  const { transfers, incoming, heard, end } = start();
  transfers.follow('first', incoming);
  end();
  await new Promise((resolve) => setTimeout(resolve, 30));
  const other = start();
  transfers.follow('second', other.incoming);
  other.incoming.bytes = 1;
  await waitFor('the second', () => heard.length > 0);
  other.end();
  t.match(heard, [{ name: 'second', bytes: 1 }]);
});
