import { readdir, readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { posix } from 'node:path';
import t from 'tap';
import ts from 'typescript';

const root = new URL('../../', import.meta.url);
const maxLines = 250;

/** What each room may import of ours. A room may always import itself. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  log: [],
  path: ['errors'],
  pem: ['errors'],
  flights: [],
  local: [],
  config: ['errors'],
  tree: ['errors'],
  turns: [],
  slots: [],
  iso: ['errors', 'turns'],
  systems: ['errors', 'path', 'tree'],
  recipes: ['errors', 'path', 'systems'],
  folder: ['errors', 'tree', 'flights', 'turns', 'local'],
  http: ['errors', 'log', 'tree', 'path', 'pem', 'turns', 'slots'],
  mount: ['errors', 'log', 'tree', 'flights', 'turns', 'local', 'iso'],
  images: ['errors', 'log', 'tree', 'path', 'pem', 'slots', 'mount', 'folder', 'systems'],
  access: ['errors', 'log', 'flights', 'slots', 'http', 'images'],
  observe: ['errors', 'http'],
  northbound: ['errors', 'log', 'slots', 'tree', 'path', 'folder', 'http', 'systems', 'recipes', 'images', 'observe'],
  southbound: ['errors', 'log', 'tree', 'path', 'folder', 'http', 'systems', 'recipes', 'images'],
  workers: ['errors', 'log', 'tree', 'path', 'folder', 'http', 'mount', 'images', 'southbound', 'observe'],
  service: [
    ...['errors', 'log', 'path', 'slots', 'config', 'tree', 'iso', 'folder'],
    ...['http', 'mount', 'systems', 'images', 'access', 'northbound', 'southbound', 'workers', 'observe', 'ui'],
  ],
  index: ['errors', 'log', 'slots', 'config', 'service'],
  main: ['errors', 'log', 'config', 'access', 'service'],
  ui: [],
};

/** A file of lib, by its path below lib, and what it imports, as written. */
interface Source {
  readonly file: string;
  readonly imports: readonly string[];
  readonly lines: number;
}

function parseSource(file: string, text: string): Source {
  const imports = ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName);
  return { file, imports, lines: text.trimEnd().split('\n').length };
}

/** `http/range.ts` is in the room http; `config.ts` and `config-keys.ts` are in config. */
function roomOf(file: string): string {
  const [top = '', ...below] = file.split('/');
  return below.length > 0 ? top : top.replace(/\.ts$/, '').replace(/-.*/, '');
}

function isOurs(specifier: string): boolean {
  return specifier.startsWith('.');
}

function targetOf(file: string, specifier: string): string {
  return posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts');
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function strayImports({ file, imports }: Source): string[] {
  const from = roomOf(file);
  const allowed = Object.hasOwn(rooms, from) ? rooms[from] : undefined;
  if (allowed === undefined) return [`${file} is in no room`];
  const targets = imports.filter(isOurs).map((specifier) => targetOf(file, specifier));
  return targets
    .filter((target) => roomOf(target) !== from && !allowed.includes(roomOf(target)))
    .map((target) => `${file} imports ${target}`);
}

function bareBuiltins({ file, imports }: Source): string[] {
  return imports.filter((name) => builtinModules.includes(name)).map((name) => `${file} imports ${name} without node:`);
}

/** The first cycle of imports that is found, file by file; empty when there is none. */
function findCycle(sources: readonly Source[]): string[] {
  const targets = new Map(
    sources.map(({ file, imports }) => [file, imports.filter(isOurs).map((name) => targetOf(file, name))]),
  );
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const target of targets.get(file) ?? []) {
      const cycle = visit(target, [...path, file]);
      if (cycle.length > 0) return cycle;
    }
    done.add(file);
    return [];
  };
  return sources.map(({ file }) => visit(file, [])).find((cycle) => cycle.length > 0) ?? [];
}

/** The npm packages that the server needs when it runs: the page in lib/ui is bundled and needs none. */
function packagesOf(sources: readonly Source[]): string[] {
  const imports = sources.filter(({ file }) => roomOf(file) !== 'ui').flatMap((source) => source.imports);
  const isBuiltin = (name: string) => name.startsWith('node:') || builtinModules.includes(name);
  return [...new Set(imports.filter((name) => !isOurs(name) && !isBuiltin(name)).map(packageOf))].sort();
}

async function readSources(): Promise<Source[]> {
  const names = await readdir(new URL('lib/', root), { recursive: true });
  const files = names.filter((name) => name.endsWith('.ts')).sort();
  return Promise.all(
    files.map(async (file) => parseSource(file, await readFile(new URL(`lib/${file}`, root), 'utf8'))),
  );
}

async function readDependencies(): Promise<string[]> {
  const manifest: unknown = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));
  if (typeof manifest !== 'object' || manifest === null || !('dependencies' in manifest)) return [];
  return Object.keys(manifest.dependencies ?? {}).sort();
}

t.test('every file is in a room, and imports only what its room may', async (t) => {
  t.same((await readSources()).flatMap(strayImports), []);
});

t.test('no file imports itself by way of others', async (t) => {
  t.same(findCycle(await readSources()), []);
});

t.test(`no file of lib is over ${maxLines} lines`, async (t) => {
  const long = (await readSources()).filter(({ lines }) => lines > maxLines);
  t.same(
    long.map(({ file, lines }) => `${file}: ${lines}`),
    [],
  );
});

t.test('what comes with Node is imported with node:', async (t) => {
  t.same((await readSources()).flatMap(bareBuiltins), []);
});

t.test('the packages that lib imports are exactly the dependencies of package.json', async (t) => {
  t.same(packagesOf(await readSources()), await readDependencies());
});

t.test('the rules see what they are there to see', async (t) => {
  t.ok(
    (await readSources()).some(({ file }) => file === 'errors.ts'),
    'the sources are found',
  );
  const source = (file: string, text: string) => parseSource(file, text);
  const stray = (file: string, text: string) => strayImports(source(file, text)).length;
  t.equal(stray('http/a.ts', "import { b } from './b.js';\nimport { c } from '../errors.js';"), 0);
  t.equal(stray('http/a.ts', "import { b } from '../images/b.js';"), 1);
  t.equal(stray('http/a.ts', "import type { B } from '../images/b.js';"), 1);
  t.equal(stray('http/a.ts', "export * from '../images/b.js';"), 1);
  t.equal(stray('http/a.ts', "const b = await import('../images/b.js');"), 1);
  t.equal(stray('http/a/b.ts', "import { c } from '../../config-keys.js';"), 1);
  t.equal(stray('config.ts', "import { c } from './config-keys.js';"), 0);
  t.equal(stray('config-keys.ts', "import { c } from './tree.js';"), 1);
  t.equal(stray('service.ts', "import { c } from './main.js';"), 1);
  t.equal(stray('http/a.ts', "// import '../images/b.js'\nconst text = \"import '../images/b.js'\";"), 0);
  t.equal(stray('helpers/a.ts', ''), 1, 'a file in no room');
  t.equal(stray('constructor.ts', ''), 1, 'a file in no room');
  const ring = [
    source('a.ts', "import './b.js';"),
    source('b.ts', "import type { C } from './c/d.js';"),
    source('c/d.ts', "import '../b.js';"),
  ];
  t.same(findCycle(ring), ['b.ts', 'c/d.ts', 'b.ts']);
  t.same(findCycle(ring.slice(0, 2)), []);
  t.equal(bareBuiltins(source('a.ts', "import fs from 'fs';\nimport 'fs/promises';\nimport 'node:fs';")).length, 2);
  const packages = [
    source('a.ts', "import '@x/y/z.js';\nimport 'b/c';\nimport 'b';\nimport 'node:fs';\nimport './d.js';"),
    source('ui/a.ts', "import 'vue';"),
  ];
  t.same(packagesOf(packages), ['@x/y', 'b']);
});
