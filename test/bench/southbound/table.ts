import type { Figure, Results } from './results.js';

const shown: Readonly<Record<Figure, (value: number) => string>> = {
  speed: (value) => (value < 1e8 ? `${(value / 1e6).toFixed(1)} MB/s` : `${(value / 1e9).toFixed(2)} GB/s`),
  answersPerSecond: (value) => `${Math.round(value)}/s`,
  firstByte: (value) => `${(value * 1000).toFixed(1)} ms`,
  cpu: (value) => value.toFixed(2),
  memory: (value) => (value / 1e6).toFixed(0),
  overIdle: (value) => (value / 1e6).toFixed(0),
  northbound: (value) => `${(value * 1000).toFixed(1)} ms`,
  held: String,
};

interface Column {
  readonly title: string;
  readonly cell: (results: Results, measurement: string, contender: string) => string;
}

function value(title: string, figure: Figure, isShown = (value: number) => !Number.isNaN(value)): Column {
  return {
    title,
    cell: (results, ...place) => {
      const median = results.median(...place, figure);
      return isShown(median) ? shown[figure](median) : '';
    },
  };
}

function ratio(other: string, figure: Figure): Column {
  return {
    title: `× ${other}`,
    cell: (results, ...place) => {
      const times = results.ratio(...place, other, figure);
      return Number.isNaN(times) ? '' : times.toFixed(2);
    },
  };
}

const columns: readonly Column[] = [
  ...[value('throughput', 'speed'), value('requests', 'answersPerSecond')],
  ...[ratio('nginx', 'answersPerSecond'), ratio('send', 'answersPerSecond')],
  ...[value('first byte', 'firstByte'), ratio('nginx', 'firstByte')],
  ...[value('CPU s/GB', 'cpu'), ratio('nginx', 'cpu')],
  ...[value('MB', 'memory'), ratio('send', 'memory'), value('over idle', 'overIdle')],
  value('GET /images', 'northbound'),
];

/** All that was measured, in lines of one table. */
export function tableOf(results: Results): string[] {
  const rows = [['', ...columns.map(({ title }) => title)]];
  for (const measurement of results.measurements()) {
    rows.push([measurement]);
    for (const contender of results.contenders(measurement)) {
      rows.push([`  ${contender}`, ...columns.map(({ cell }) => cell(results, measurement, contender))]);
    }
  }
  const widths = (rows[0] ?? []).map((_, index) =>
    // The name of a measurement stands alone in its line, and may be longer.
    Math.max(...rows.filter((row) => row.length > 1).map((row) => row[index]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, index) => (index === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart((widths[index] ?? 0) + 2)))
      .join(''),
  );
}
