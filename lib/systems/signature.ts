import type { Boot, Certainty, Workflow } from './system.js';

/**
 * Something that is so of the image. The named groups of its regular expressions become values; what has a value already
 * keeps it. In paths, sections and `value` the values of the conditions before it are filled in.
 */
export interface Condition {
  /** Of a file or a folder. Its last segment may have a `*`: then the first name that fits counts. */
  readonly file?: string;
  /** What the name fits that was found for a `*`. */
  readonly name?: RegExp;
  /** What the first bytes of the file fit, or where there is a `key` its value. */
  readonly text?: RegExp;
  /** Of an INI file. */
  readonly section?: string;
  readonly key?: string;
  /** What the volume identifier of the disc fits. */
  readonly label?: RegExp;
  /** The name or the version that the operator gave the image: compared with `text`. */
  readonly image?: 'name' | 'version';
  /** Values: compared with `text`. */
  readonly value?: string;
  /** It holds where the image has no such file. */
  readonly absent?: boolean;
  /** It only brings values. */
  readonly optional?: boolean;
}

/** A way to boot the system, in force when its conditions hold and its files are there. */
export interface BootTemplate extends Boot {
  readonly when: readonly Condition[];
}

export interface WorkflowTemplate extends Workflow {
  readonly when: readonly Condition[];
}

/** How a system is recognized, and what it boots. */
export interface Signature {
  readonly name: string;
  readonly certainty: Exclude<Certainty, 'inspection' | 'given'>;
  /** All of them have to hold, one after the other. */
  readonly when: readonly Condition[];
  readonly os: Readonly<
    Partial<Record<'distribution' | 'version' | 'codename' | 'architecture', string>> & { family: string }
  >;
  readonly boot: readonly BootTemplate[];
  /** The first one whose conditions hold. */
  readonly rackhd: readonly WorkflowTemplate[];
}
