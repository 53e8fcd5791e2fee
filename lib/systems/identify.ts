import type { Tree } from '../tree.js';
import { type Evidence, valuesOf } from './conditions.js';
import { inspect } from './inspection.js';
import { Markers } from './markers.js';
import type { Signature } from './signature.js';
import { architectureOf, type Boot, type Certainty, type Identification, type OperatingSystem } from './system.js';
import { bootsOf, workflowOf } from './templates.js';
import { filledIfGiven, type Values } from './values.js';

/** An image, as far as its recognition goes. */
export interface Unknown {
  readonly tree: Tree;
  /** The volume identifier of the disc. */
  readonly label: string;
  /** Whether its firmware could boot the disc itself (El Torito). */
  readonly isBootable: boolean;
  readonly name: string;
  readonly version: string;
}

/** What an operator says of an image, over what is found. */
export interface Given {
  /** The name of a signature: its conditions need not hold. */
  readonly system?: string | undefined;
  readonly kernel?: string | undefined;
  readonly initrd?: readonly string[] | undefined;
}

/** A signature, and what its conditions found. */
interface Recognized {
  readonly signature: Signature;
  readonly certainty: Certainty;
  readonly values: Values;
}

/** Where UEFI looks for the loader of a medium (UEFI 3.5.1.1), by architecture. */
const loaders: readonly (readonly [architecture: string, path: string])[] = [
  ['x86_64', 'EFI/BOOT/BOOTX64.EFI'],
  ['aarch64', 'EFI/BOOT/BOOTAA64.EFI'],
  ['i386', 'EFI/BOOT/BOOTIA32.EFI'],
];

/** Problems that a record shows. */
const maxProblems = 20;

/** Those that are certain before those that go by the layout. */
function inOrder(signatures: readonly Signature[]): Signature[] {
  const isExact = ({ certainty }: Signature) => certainty === 'exact';
  return [...signatures.filter(isExact), ...signatures.filter((signature) => !isExact(signature))];
}

async function recognize(signatures: readonly Signature[], evidence: Evidence): Promise<Recognized | undefined> {
  for (const signature of inOrder(signatures)) {
    const values = await valuesOf(signature.when, new Map(), evidence);
    if (values !== undefined) return { signature, certainty: signature.certainty, values };
  }
  return undefined;
}

/** The signature that the operator names, with the values that it finds. */
async function named(name: string, signatures: readonly Signature[], evidence: Evidence) {
  const signature = signatures.find((one) => one.name === name);
  if (signature === undefined) {
    evidence.markers.report(`No signature is called ${name}`);
    return undefined;
  }
  const conditions = signature.when.map((condition) => ({ ...condition, optional: true }));
  const values = (await valuesOf(conditions, new Map(), evidence)) ?? new Map<string, string>();
  return { signature, certainty: 'given' as const, values };
}

/** With the loader for UEFI that the disc has for the architecture. */
async function withLoader(boot: Boot, markers: Markers): Promise<Boot> {
  if (boot.loader !== undefined) return boot;
  for (const [architecture, path] of loaders) {
    const fits = boot.architecture === undefined || boot.architecture === architecture;
    if (fits && (await markers.typeOf(path)) === 'file') return { ...boot, loader: path };
  }
  return boot;
}

async function isThere(path: string, markers: Markers): Promise<boolean> {
  if ((await markers.typeOf(path)) === 'file') return true;
  markers.report(`The image has no file ${path}`);
  return false;
}

/** The kernel that the operator names; nothing, and reported, where the image lacks it or one of its RAM disks. */
async function givenBoot({ kernel, initrd }: Given, markers: Markers): Promise<Boot[]> {
  if (kernel === undefined) return [];
  for (const path of [kernel, ...(initrd ?? [])]) if (!(await isThere(path, markers))) return [];
  return [{ kind: 'linux', kernel, ...(initrd !== undefined && initrd.length > 0 && { initrd }) }];
}

function osOf({ signature, certainty, values }: Recognized, boots: readonly Boot[]): OperatingSystem {
  const { family, distribution, version, codename, architecture } = signature.os;
  const known = filledIfGiven(architecture, values);
  const texts = {
    distribution: filledIfGiven(distribution, values),
    version: filledIfGiven(version, values),
    codename: filledIfGiven(codename, values),
  };
  const ofBoots = boots.flatMap((boot) => boot.architecture ?? []);
  const architectures = [...new Set([...(known === undefined ? [] : [architectureOf(known)]), ...ofBoots])];
  const given = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== undefined));
  return { family, ...given, architectures, signature: signature.name, certainty };
}

/** The ways to boot of a signature, or where it has none those of the disc's own menus, or the disc as it is. */
async function findBoots(found: Recognized | undefined, unknown: Unknown, evidence: Evidence): Promise<Boot[]> {
  const { markers } = evidence;
  const known = found === undefined ? [] : await bootsOf(found.signature.boot, found.values, evidence);
  if (known.length > 0) return known;
  if (found !== undefined) markers.report(`The image has none of the kernels that ${found.signature.name} boots`);
  const inspected = await inspect(markers);
  if (inspected.length > 0) return inspected;
  const whole = await withLoader({ kind: 'iso' }, markers);
  return unknown.isBootable || whole.loader !== undefined ? [whole] : [];
}

/**
 * Says what is on an image and what it boots, by its files alone: first by markers that say it, then by the layout, then by
 * the disc's own boot menus. Reads a bounded part of it.
 * @throws what the tree throws besides ServiceError
 */
export async function identify(
  unknown: Unknown,
  given: Given,
  signatures: readonly Signature[],
): Promise<Identification> {
  const { tree, label, name, version } = unknown;
  const markers = new Markers(tree);
  const evidence = { markers, label, name, version };
  const { system } = given;
  const found =
    system === undefined ? await recognize(signatures, evidence) : await named(system, signatures, evidence);
  const boots: Boot[] = [];
  for (const boot of [...(await givenBoot(given, markers)), ...(await findBoots(found, unknown, evidence))]) {
    boots.push(await withLoader(boot, markers));
  }
  const rackhd = found && (await workflowOf(found.signature.rackhd, found.values, evidence));
  const generic = { family: 'generic', architectures: [], certainty: 'inspection' } as const;
  const os: OperatingSystem = found === undefined ? generic : osOf(found, boots);
  const { problems } = markers;
  return {
    os: { ...os, ...(rackhd && { rackhd }), ...(problems.length > 0 && { problems: problems.slice(0, maxProblems) }) },
    boot: boots,
  };
}
