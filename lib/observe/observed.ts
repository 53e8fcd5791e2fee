import type { Exposition } from './metrics.js';
import type { Transfer } from './report.js';

/** A worker process, as the status shows it. */
export interface WorkerState {
  readonly pid: number;
  /** Open now. */
  readonly connections: number;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** What the service is busy with. */
export interface Activity {
  readonly version: string;
  /** Seconds. */
  readonly uptime: number;
  /** How many there are, and the longest of them. */
  readonly transfers: { readonly total: number; readonly longest: readonly Transfer[] };
  readonly workers: readonly WorkerState[];
}

/** What the management API tells of the running service. */
export interface Observed {
  activity(): Activity;
  metrics(): Promise<Exposition>;
}
