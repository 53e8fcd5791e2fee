import { messageOf, ServiceError } from '../errors.js';
import { quoted } from '../path.js';
import type { BootTemplate, Condition, Signature, WorkflowTemplate } from './signature.js';
import { bootKinds, type Workflow } from './system.js';

type Members = Readonly<Record<string, unknown>>;

function refuse(at: string, allowed: string): never {
  throw new ServiceError('BAD_REQUEST', `${at} must be ${allowed}`);
}

/** An object of these members alone. */
function membersOf(value: unknown, at: string, allowed: readonly string[]): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(at, 'an object');
  for (const name of Object.keys(value)) {
    if (!allowed.includes(name)) refuse(`${at}: ${quoted(name)}`, `one of ${allowed.join(', ')}`);
  }
  return { ...value };
}

function text(value: unknown, at: string): string {
  if (typeof value !== 'string' || value === '' || /\p{Cc}/u.test(value)) return refuse(at, 'a text in one line');
  return value;
}

function oneOf<Word extends string>(value: unknown, at: string, words: readonly Word[]): Word {
  return words.find((word) => word === value) ?? refuse(at, `one of ${words.join(', ')}`);
}

function listOf<T>(value: unknown, at: string, read: (item: unknown, at: string) => T): T[] {
  if (!Array.isArray(value)) return refuse(at, 'a list');
  return value.map((item: unknown, index) => read(item, `${at}[${index}]`));
}

function mapOf<T>(value: unknown, at: string, read: (item: unknown, at: string) => T): Record<string, T> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(at, 'an object');
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, read(item, `${at}.${name}`)]));
}

function pattern(value: unknown, at: string): RegExp {
  try {
    return new RegExp(text(value, at), 'imu');
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    return refuse(at, `a regular expression (${messageOf(error)})`);
  }
}

function flag(value: unknown, at: string): boolean {
  return typeof value === 'boolean' ? value : refuse(at, 'true or false');
}

/** Reads the members that are given, each in its own way. */
function readGiven<T>(
  members: Members,
  at: string,
  readers: { [Name in keyof T]: (value: unknown, at: string) => T[Name] },
) {
  const given: Partial<T> = {};
  for (const name in readers) {
    if (members[name] !== undefined) given[name] = readers[name](members[name], `${at}.${name}`);
  }
  return given;
}

const conditionReaders = {
  file: text,
  name: pattern,
  text: pattern,
  section: text,
  key: text,
  label: pattern,
  image: (value: unknown, at: string) => oneOf(value, at, ['name', 'version']),
  value: text,
  absent: flag,
  optional: flag,
};

function condition(value: unknown, at: string): Condition {
  const members = membersOf(value, at, Object.keys(conditionReaders));
  const read = readGiven<Condition>(members, at, conditionReaders);
  const subjects = [read.file, read.label, read.image, read.value].filter((one) => one !== undefined);
  if (subjects.length !== 1) refuse(at, 'about one of file, label, image, value');
  if ((read.image ?? read.value) !== undefined && read.text === undefined) refuse(`${at}.text`, 'given');
  if (read.key !== undefined && (read.section === undefined || read.text === undefined))
    refuse(at, 'with section and text where it has a key');
  return read;
}

const conditions = (value: unknown, at: string) => listOf(value, at, condition);
const texts = (value: unknown, at: string) => listOf(value, at, text);

const bootReaders = {
  when: conditions,
  kind: (value: unknown, at: string) => oneOf(value, at, bootKinds),
  ...{ title: text, architecture: text, kernel: text, initrd: texts, files: texts, args: text, repository: text },
  ...{ config: text, loader: text, note: text },
  inject: (value: unknown, at: string) => mapOf(value, at, text),
};

function boot(value: unknown, at: string): BootTemplate {
  const members = membersOf(value, at, Object.keys(bootReaders));
  const read = readGiven<BootTemplate>(members, at, bootReaders);
  return { when: [], kind: 'linux', ...read };
}

function option(value: unknown, at: string): Workflow['options'][string] {
  return typeof value === 'string' ? text(value, at) : mapOf(value, at, text);
}

function workflow(value: unknown, at: string): WorkflowTemplate {
  const members = membersOf(value, at, ['when', 'graph', 'options']);
  return {
    when: members['when'] === undefined ? [] : conditions(members['when'], `${at}.when`),
    graph: text(members['graph'], `${at}.graph`),
    options: mapOf(members['options'] ?? {}, `${at}.options`, option),
  };
}

const osMembers = ['family', 'distribution', 'version', 'codename', 'architecture'] as const;

function os(value: unknown, at: string): Signature['os'] {
  const members = membersOf(value, at, osMembers);
  const read = readGiven<Signature['os']>(members, at, {
    ...{ family: text, distribution: text, version: text, codename: text, architecture: text },
  });
  return { ...read, family: text(members['family'], `${at}.family`) };
}

/** One that takes over what another one boots says so by `like`. */
function signature(value: unknown, at: string, others: ReadonlyMap<string, Signature>): Signature {
  const members = membersOf(value, at, ['name', 'certainty', 'when', 'os', 'boot', 'rackhd', 'like']);
  const like = members['like'] === undefined ? undefined : text(members['like'], `${at}.like`);
  const other = like === undefined ? undefined : (others.get(like) ?? refuse(`${at}.like`, 'a signature before it'));
  const read = readGiven<Signature>(members, at, {
    name: text,
    certainty: (given, place) => oneOf(given, place, ['exact', 'fallback']),
    when: conditions,
    os,
    boot: (given, place) => listOf(given, place, boot),
    rackhd: (given, place) => listOf(given, place, workflow),
  });
  return {
    name: read.name ?? refuse(`${at}.name`, 'given'),
    certainty: read.certainty ?? refuse(`${at}.certainty`, 'exact or fallback'),
    when: read.when ?? refuse(`${at}.when`, 'a list of conditions'),
    os: read.os ?? refuse(`${at}.os`, 'given'),
    boot: read.boot ?? other?.boot ?? [],
    rackhd: read.rackhd ?? other?.rackhd ?? [],
  };
}

/**
 * Reads a file of signatures.
 * @param at what the messages call the file
 * @param known those that it may be like; one of the same name is replaced
 * @returns those of the file, before those that were known
 * @throws ServiceError BAD_REQUEST: what is wrong, by its place in the file
 */
export function readSignatures(json: string, at: string, known: readonly Signature[] = []): Signature[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new ServiceError('BAD_REQUEST', `${at}: not JSON: ${messageOf(error)}`, { cause: error });
  }
  const { signatures } = membersOf(value, at, ['signatures']);
  const others = new Map(known.map((one) => [one.name, one]));
  const read = new Map<string, Signature>();
  for (const [index, item] of listOf(signatures, `${at}: signatures`, (one) => one).entries()) {
    const one = signature(item, `${at}: signatures[${index}]`, new Map([...others, ...read]));
    if (read.has(one.name)) refuse(`${at}: signatures[${index}].name`, 'another one than those before it');
    read.set(one.name, one);
  }
  return [...read.values(), ...known.filter(({ name }) => !read.has(name))];
}
