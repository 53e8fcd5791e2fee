import { messageOf, ServiceError } from '../errors.js';
import { parseNamedPath, quoted } from '../path.js';
import { type Evidence, valuesOf } from './conditions.js';
import { filesOf } from './esxi.js';
import type { Markers } from './markers.js';
import type { BootTemplate, WorkflowTemplate } from './signature.js';
import { architectureOf, type Boot, type Workflow } from './system.js';
import { filled, filledIfGiven, type Values } from './values.js';

/** A path as it is in the record; undefined when it has no value, or, and reported, when it leads out of the image. */
function pathOf(template: string, values: Values, markers: Markers): string | undefined {
  const path = filled(template, values);
  // Of the file server, or of the .iso: only a signature may say so, and no disc.
  if (path === undefined || template.startsWith('/') || template === '{iso}') return path;
  try {
    return parseNamedPath(path, 'The path').join('/');
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    markers.report(messageOf(error));
    return undefined;
  }
}

/** Paths with their values, without those that have none. */
function pathsOf(templates: readonly string[], values: Values, markers: Markers): string[] {
  return templates.map((template) => pathOf(template, values, markers)).filter((path) => path !== undefined);
}

/** Whether the image has a file; a path of the file server is somebody else's. */
async function isThere(path: string, markers: Markers): Promise<boolean> {
  return path.startsWith('/') || path === '{iso}' || (await markers.typeOf(path)) === 'file';
}

async function areThere(paths: readonly string[], markers: Markers): Promise<boolean> {
  for (const path of paths) if (!(await isThere(path, markers))) return false;
  return true;
}

/** The modules of ESXi; undefined, and reported, when its configuration cannot be used. */
async function esxiFiles(config: string, markers: Markers): Promise<string[] | undefined> {
  try {
    return filesOf((await markers.text(config)) ?? '');
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    markers.report(`${quoted(config)}: ${messageOf(error)}`);
    return undefined;
  }
}

/** Texts of a template with their values, by their names: without those that have none. */
function textsOf(
  texts: Readonly<Record<string, string | undefined>>,
  values: Values,
): Readonly<Record<string, string>> {
  const complete = Object.entries(texts).flatMap(([name, text]): [string, string][] => {
    const known = filledIfGiven(text, values);
    if (known === undefined) return [];
    return [[name, name === 'architecture' ? architectureOf(known) : known]];
  });
  return Object.fromEntries(complete);
}

/** What a template is for an image: undefined when its conditions do not hold or files are missing. */
async function bootOf(template: BootTemplate, before: Values, evidence: Evidence): Promise<Boot | undefined> {
  const { markers } = evidence;
  const values = await valuesOf(template.when, before, evidence);
  if (values === undefined) return undefined;
  const { kind, inject = {}, config, title, architecture, args, repository, note } = template;
  const [kernel] = pathsOf(template.kernel === undefined ? [] : [template.kernel], values, markers);
  const initrd = pathsOf(template.initrd ?? [], values, markers);
  const [loader] = pathsOf(template.loader === undefined ? [] : [template.loader], values, markers);
  const parts = Object.entries(inject).map(([name, path]) => [name, pathsOf([path], values, markers)[0]] as const);
  const own = [kernel, loader, config, ...parts.map(([, path]) => path)].filter((path) => path !== undefined);
  const isComplete = kind === 'iso' || kernel !== undefined || loader !== undefined;
  if (!isComplete || initrd.length < (template.initrd?.length ?? 0)) return undefined;
  if (!(await areThere([...own, ...initrd], markers))) return undefined;
  const listed = config === undefined ? [] : await esxiFiles(config, markers);
  if (listed === undefined) return undefined;
  const files = [...pathsOf(template.files ?? [], values, markers), ...listed];
  return {
    kind,
    ...textsOf({ title, architecture }, values),
    ...(kernel !== undefined && { kernel }),
    ...(initrd.length > 0 && { initrd }),
    ...(parts.length > 0 && { inject: Object.fromEntries(parts.map(([name, path]) => [name, path ?? ''])) }),
    ...(files.length > 0 && { files }),
    ...(config !== undefined && { config }),
    ...(loader !== undefined && { loader }),
    ...textsOf({ args, repository, note }, values),
  };
}

/** The ways to boot that an image has of these. */
export async function bootsOf(templates: readonly BootTemplate[], values: Values, evidence: Evidence): Promise<Boot[]> {
  const boots: Boot[] = [];
  for (const template of templates) {
    const boot = await bootOf(template, values, evidence);
    if (boot !== undefined) boots.push(boot);
  }
  return boots;
}

/** Options with their values, without those that have none. */
function optionsOf(options: Workflow['options'], values: Values): Workflow['options'] {
  const complete = Object.entries(options).flatMap(([name, option]) => {
    if (typeof option === 'object') return [[name, optionsOf(option, values)]];
    const text = filled(option, values);
    return text === undefined ? [] : [[name, text]];
  });
  return Object.fromEntries(complete) as Workflow['options'];
}

/** The first workflow whose conditions hold. */
export async function workflowOf(
  templates: readonly WorkflowTemplate[],
  before: Values,
  evidence: Evidence,
): Promise<Workflow | undefined> {
  for (const { when, graph, options } of templates) {
    const values = await valuesOf(when, before, evidence);
    if (values !== undefined) return { graph, options: optionsOf(options, values) };
  }
  return undefined;
}
