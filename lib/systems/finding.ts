/** Something that a machine would miss, or get another file for. */
export interface Finding {
  /** A file is named and not there; its list cannot be read; a name may be cut; two names differ only by case. */
  readonly kind: 'missing' | 'unreadable' | 'cut' | 'case';
  readonly path: string;
  /** The file that names it. */
  readonly namedBy?: string;
  /** In words for an operator. */
  readonly message: string;
}
