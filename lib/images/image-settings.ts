import { ServiceError } from '../errors.js';
import { parseNamedPath, parsePath, quoted } from '../path.js';
import type { Signature } from '../systems/signature.js';

/** What an operator says of an image: over what is found. Undefined takes back what was said before. */
export interface ImageSettings {
  /** The name of a signature. */
  readonly system?: string | undefined;
  /** Paths in the image, without a slash at the beginning. */
  readonly kernel?: string | undefined;
  readonly initrd?: readonly string[] | undefined;
  /** Arguments of the kernel, behind those that it needs. */
  readonly args?: string | undefined;
  /** Other paths in the URL space, without a slash at the beginning. */
  readonly aliases?: readonly string[] | undefined;
}

/** The parameters of a request that say so. */
export const settingParameters = ['system', 'kernel', 'initrd', 'args', 'aliases'] as const;

/** Aliases of one image. */
const maxAliases = 20;

const maxArgs = 2000;

/** They become part of a line in scripts of boot loaders. */
function checkArgs(args: string): string {
  const refuse = (allowed: string): never => {
    throw new ServiceError('BAD_REQUEST', `args ${quoted(args)} is not allowed: ${allowed}`);
  };
  if (/\p{Cc}|\p{Zl}|\p{Zp}/u.test(args)) refuse('one line, without control characters');
  if (args.length > maxArgs) refuse(`at most ${maxArgs} characters`);
  // iPXE would end the command there, and begin another one.
  if (/(?:^|\s)(?:\|\||&&|;)(?:\s|$)/.test(args)) refuse('no word that is ||, && or ;');
  return args.trim();
}

function checkSystem(system: string, signatures: readonly Signature[]): string {
  const names = signatures.map(({ name }) => name);
  if (names.includes(system)) return system;
  throw new ServiceError('BAD_REQUEST', `system ${quoted(system)} is unknown; allowed: ${names.sort().join(', ')}`);
}

/** Paths as in URLs, with spaces between them. */
function aliasesOf(text: string): string[] {
  const aliases = text
    .split(/\s+/)
    .filter((one) => one !== '')
    .map((one) => parsePath(one).path.join('/'));
  if (aliases.includes('')) throw new ServiceError('BAD_REQUEST', 'aliases must be paths such as /centos/7/os/x86_64');
  if (aliases.length <= maxAliases) return [...new Set(aliases)];
  throw new ServiceError('BAD_REQUEST', `aliases are ${aliases.length}; allowed: at most ${maxAliases}`);
}

function pathOf(text: string, what: string): string {
  return parseNamedPath(text, what).join('/');
}

/**
 * Reads what parameters say of an image; an empty one takes back what was said before.
 * @throws ServiceError BAD_REQUEST
 */
export function readImageSettings(
  parameters: Readonly<Partial<Record<(typeof settingParameters)[number], string>>>,
  signatures: readonly Signature[],
): ImageSettings {
  const { system, kernel, initrd, args, aliases } = parameters;
  const given = <T>(value: string | undefined, read: (text: string) => T) => (value ? read(value) : undefined);
  return {
    ...(system !== undefined && { system: given(system, (text) => checkSystem(text, signatures)) }),
    ...(kernel !== undefined && { kernel: given(kernel, (text) => pathOf(text, 'kernel')) }),
    ...(initrd !== undefined && {
      initrd: given(initrd, (text) => text.split(',').map((path) => pathOf(path, 'initrd'))),
    }),
    ...(args !== undefined && { args: given(args, checkArgs) }),
    ...(aliases !== undefined && { aliases: given(aliases, aliasesOf) }),
  };
}
