import { parseNamedPath } from '../path.js';

/** What a `boot.cfg` of ESXi says, line by line (VMware, "About the boot.cfg File"). */
export interface BootConfig {
  /** With the arguments behind it. */
  readonly kernel: string;
  readonly modules: readonly string[];
  readonly options: string;
  readonly lines: readonly (readonly [key: string | undefined, line: string])[];
}

/** Checks the path before the arguments. @throws ServiceError BAD_REQUEST: it leads out of the image */
function checked(entry: string): string {
  parseNamedPath(pathOf(entry), 'boot.cfg names');
  return entry.replace(/^[/\s]+/, '').trimEnd();
}

function pathOf(entry: string): string {
  return entry.trim().split(/\s/, 1)[0] ?? '';
}

/**
 * Reads a `boot.cfg`.
 * @throws ServiceError BAD_REQUEST: it names a path that leads out of the image, or no kernel
 */
export function parseBootConfig(text: string): BootConfig {
  const lines = text.split(/\r\n?|\n/).map((line) => [/^\s*(\w+)\s*=/.exec(line)?.[1], line] as const);
  const valueOf = (wanted: string) => {
    const line = lines.find(([key]) => key === wanted)?.[1] ?? '';
    return line.slice(line.indexOf('=') + 1).trim();
  };
  const modules = valueOf('modules')
    .split('---')
    .filter((module) => module.trim() !== '');
  return { kernel: checked(valueOf('kernel')), modules: modules.map(checked), options: valueOf('kernelopt'), lines };
}

/** The files that a `boot.cfg` has a machine load, kernel first. @throws ServiceError BAD_REQUEST as `parseBootConfig` */
export function filesOf(text: string): string[] {
  const { kernel, modules } = parseBootConfig(text);
  return [kernel, ...modules].map(pathOf);
}

/**
 * A `boot.cfg` for machines that boot from the network: with the URL of the image as prefix, and paths that begin at it.
 * @param args of the kernel, behind its own
 * @throws ServiceError BAD_REQUEST as `parseBootConfig`
 */
export function rewriteBootConfig(text: string, tree: string, args: string): string {
  const { kernel, modules, options, lines } = parseBootConfig(text);
  // With `cdromBoot` it looks for the rest of its files on a disc.
  const kept = options.split(/\s+/).filter((option) => option !== 'cdromBoot' && option !== '');
  const changed = {
    prefix: tree,
    kernel,
    kernelopt: [...kept, ...(args === '' ? [] : [args])].join(' '),
    modules: modules.join(' --- '),
  };
  const others = lines.filter(([key, line]) => !Object.hasOwn(changed, key ?? '') && line !== '');
  const own = Object.entries(changed).map(([key, value]) => `${key}=${value}`);
  return `${[...others.map(([, line]) => line), ...own].join('\n')}\n`;
}
