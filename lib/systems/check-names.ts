import type { Entry } from '../tree.js';
import type { Finding } from './finding.js';

/** The most that a name of Joliet has, in UCS-2 units, and of genisoimage's longer variant. */
const jolietLengths: ReadonlySet<number> = new Set([64, 103]);

/** What is wrong with the names of one folder. */
export function findingsOfNames(folder: string, entries: readonly Entry[], view: string): Finding[] {
  const findings: Finding[] = [];
  const byCase = new Map<string, string>();
  for (const { name } of entries) {
    const path = folder === '' ? name : `${folder}/${name}`;
    const key = name.toLowerCase();
    const twin = byCase.get(key);
    if (twin === undefined) byCase.set(key, name);
    else {
      const message = `${path} differs from ${twin} only by case: who asks in another case gets one of the two`;
      findings.push({ kind: 'case', path, message });
    }
    if (view !== 'joliet' || !jolietLengths.has(name.length)) continue;
    const message = `${path} is as long as a name of Joliet can be: it may be cut, and what names it names another one`;
    findings.push({ kind: 'cut', path, message });
  }
  return findings;
}
