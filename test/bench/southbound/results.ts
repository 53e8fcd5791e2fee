import { spread } from '../setup.js';

/** What is measured. */
export type Figure =
  /** Bytes a second. */
  | 'speed'
  | 'answersPerSecond'
  /** Seconds; 99 of 100 requests had theirs by then. */
  | 'firstByte'
  /** Seconds of all processes of the server, for a gigabyte. */
  | 'cpu'
  /** Bytes, the most that all processes of the server had at a time (PSS). */
  | 'memory'
  /** Bytes of it that were not there before. */
  | 'overIdle'
  /** Seconds for a request northbound, 99 of 100. */
  | 'northbound'
  | 'held';

export type Sample = Readonly<Partial<Record<Figure, number>>>;

/** The samples of all measurements, in rounds, by measurement and by contender. */
export class Results {
  readonly #samples = new Map<string, Map<string, Sample[]>>();

  add(measurement: string, contender: string, sample: Sample): void {
    const rows = this.#samples.get(measurement) ?? new Map<string, Sample[]>();
    this.#samples.set(measurement, rows);
    rows.set(contender, [...(rows.get(contender) ?? []), sample]);
  }

  measurements(): string[] {
    return [...this.#samples.keys()];
  }

  contenders(measurement: string): string[] {
    return [...(this.#samples.get(measurement)?.keys() ?? [])];
  }

  /** The middle one of the rounds; NaN for what was not measured. */
  median(measurement: string, contender: string, figure: Figure): number {
    return spread(this.#all(measurement, contender, figure)).median;
  }

  /**
   * How many times the other's it is: the middle one of the ratios of the rounds, as what disturbs the machine for
   * longer than a moment disturbs both of a round.
   */
  ratio(measurement: string, contender: string, other: string, figure: Figure): number {
    const others = this.#all(measurement, other, figure);
    return spread(this.#all(measurement, contender, figure).map((value, round) => value / (others[round] ?? NaN)))
      .median;
  }

  #all(measurement: string, contender: string, figure: Figure): number[] {
    const samples = this.#samples.get(measurement)?.get(contender) ?? [];
    return samples.map((sample) => sample[figure]).filter((value) => value !== undefined);
  }
}
