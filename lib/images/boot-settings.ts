import { ServiceError } from '../errors.js';
import { parseNamedPath, quoted } from '../path.js';
import type { Signature } from '../systems/signature.js';

/** What an operator says of what an image boots: over what is found. Undefined takes back what was said before. */
export interface BootSettings {
  /** The name of a signature. */
  readonly system?: string | undefined;
  /** Paths in the image, without a slash at the beginning. */
  readonly kernel?: string | undefined;
  readonly initrd?: readonly string[] | undefined;
  /** Arguments of the kernel, behind those that it needs. */
  readonly args?: string | undefined;
}

/** The parameters of a request that say so. */
export const bootParameters = ['system', 'kernel', 'initrd', 'args'] as const;

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

function pathOf(text: string, what: string): string {
  return parseNamedPath(text, what).join('/');
}

/**
 * Reads what parameters say of what an image boots; an empty one takes back what was said before.
 * @throws ServiceError BAD_REQUEST
 */
export function readBootSettings(
  parameters: Readonly<Partial<Record<(typeof bootParameters)[number], string>>>,
  signatures: readonly Signature[],
): BootSettings {
  const { system, kernel, initrd, args } = parameters;
  const given = <T>(value: string | undefined, read: (text: string) => T) => (value ? read(value) : undefined);
  return {
    ...(system !== undefined && { system: given(system, (text) => checkSystem(text, signatures)) }),
    ...(kernel !== undefined && { kernel: given(kernel, (text) => pathOf(text, 'kernel')) }),
    ...(initrd !== undefined && {
      initrd: given(initrd, (text) => text.split(',').map((path) => pathOf(path, 'initrd'))),
    }),
    ...(args !== undefined && { args: given(args, checkArgs) }),
  };
}
