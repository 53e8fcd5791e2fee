import type { Budget } from './budget.js';
import type { ReadAt } from './entries.js';

/** What it takes to read a volume, whichever kind it is. */
export interface VolumeSource {
  /** Is asked for bytes inside the .iso only. */
  readonly read: ReadAt;
  /** Bytes of the .iso. */
  readonly bytes: number;
  /** What one request may cost. */
  readonly newBudget: () => Budget;
}
