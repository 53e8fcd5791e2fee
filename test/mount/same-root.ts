import t from 'tap';
import { rootDifference } from '../../lib/mount/same-root.js';
import { smallIso } from '../fixtures/small-iso.js';
import { openImage } from '../fixtures/iso-volume.js';

async function difference(
  expected: Parameters<typeof smallIso>,
  found: Parameters<typeof smallIso>,
): Promise<string | undefined> {
  const [ours, theirs] = await Promise.all([openImage(smallIso(...expected)), openImage(smallIso(...found))]);
  return rootDifference(ours.root, theirs.root);
}

t.test('the same names and types are the same root, in any order', async (t) => {
  t.equal(await difference([{ a: '1', b: '2' }, { l: 'a' }], [{ b: 'other', a: '' }, { l: 'b' }]), undefined);
});

t.test('what a mount lacks, and what it shows instead, is told', async (t) => {
  const files = Object.fromEntries(['boot', 'efi', 'sources', 'setup.exe', 'autorun.inf'].map((name) => [name, '']));
  t.equal(
    await difference([files], [{ 'readme.txt': '' }]),
    'it lacks the file "boot", the file "efi", the file "sources" and 2 more; it shows the file "readme.txt"',
  );
  t.equal(await difference([{ a: '' }], [{}]), 'it lacks the file "a"');
  t.equal(await difference([{}], [{ a: '' }]), 'it shows the file "a"');
  t.equal(await difference([{ a: '' }], [{}, { a: 'x' }]), 'it lacks the file "a"; it shows the link "a"');
});
