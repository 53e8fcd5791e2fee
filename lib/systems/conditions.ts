import { type Ini, parseIni } from './ini.js';
import type { Markers } from './markers.js';
import type { Condition } from './signature.js';
import { cleaned, filled, type Values } from './values.js';

/** What conditions look at. */
export interface Evidence {
  readonly markers: Markers;
  /** The volume identifier of the disc. */
  readonly label: string;
  /** As the operator named the image. */
  readonly name: string;
  readonly version: string;
}

/** The named groups of a match; undefined when the text does not fit. */
function groupsOf(text: string | undefined, pattern: RegExp | undefined): Readonly<Record<string, string>> | undefined {
  if (text === undefined) return undefined;
  if (pattern === undefined) return {};
  const match = pattern.exec(text);
  return match === null ? undefined : (match.groups ?? {});
}

function valueIn(ini: Ini, section: string | undefined, key: string, values: Values): string | undefined {
  const name = section === undefined ? undefined : filled(section, values);
  return name === undefined ? undefined : ini.get(name)?.get(key);
}

async function textOf(condition: Condition, path: string, values: Values, markers: Markers) {
  const { section, key } = condition;
  const text = await markers.text(path);
  return key === undefined || text === undefined ? text : valueIn(parseIni(text), section, key, values);
}

/** What a condition about a file finds. */
async function lookAtFile(condition: Condition, file: string, values: Values, markers: Markers) {
  const wanted = filled(file, values);
  if (wanted === undefined) return undefined;
  const path = wanted.includes('*') ? await findNamed(condition, wanted, markers) : wanted;
  if (path === undefined) return undefined;
  const byName = groupsOf(path.slice(path.lastIndexOf('/') + 1), condition.name);
  if (condition.text === undefined) return (await markers.typeOf(path)) === undefined ? undefined : byName;
  const byText = groupsOf(await textOf(condition, path, values, markers), condition.text);
  return byText && { ...byName, ...byText };
}

/** The first path that fits the pattern, and the name of the condition, too. */
async function findNamed({ name }: Condition, pattern: string, markers: Markers): Promise<string | undefined> {
  const paths = await markers.find(pattern);
  return paths.find((path) => name === undefined || name.test(path.slice(path.lastIndexOf('/') + 1)));
}

/** What a condition finds: groups by their names, or undefined when it does not hold. */
async function look(condition: Condition, values: Values, evidence: Evidence) {
  const { file, label, image, value, text, absent } = condition;
  if (file !== undefined) {
    const found = await lookAtFile(condition, file, values, evidence.markers);
    if (absent !== true) return found;
    return found === undefined ? {} : undefined;
  }
  if (label !== undefined) return groupsOf(evidence.label, label);
  if (image !== undefined) return groupsOf(evidence[image], text);
  return groupsOf(filled(value ?? '', values), text);
}

/**
 * Looks whether conditions hold, one after the other.
 * @param before values that are known already
 * @returns these and those that were found; undefined when one does not hold
 */
export async function valuesOf(
  conditions: readonly Condition[],
  before: Values,
  evidence: Evidence,
): Promise<Values | undefined> {
  const values = new Map(before);
  for (const condition of conditions) {
    const found = await look(condition, values, evidence);
    if (found === undefined && condition.optional !== true) return undefined;
    for (const [name, text] of Object.entries(found ?? {})) {
      // A group that took no part in the match has no text.
      const value = (text as string | undefined) === undefined ? undefined : cleaned(text);
      if (value !== undefined && !values.has(name)) values.set(name, name === 'codename' ? value.toLowerCase() : value);
    }
  }
  return values;
}
