import { drawPlot } from './svg.ts';

/** CPU per frame of 20 ms, in µs, of so many calls by one carrier. */
export interface CallCost {
  readonly carrier: string;
  readonly calls: number;
  readonly micros: number;
}

/** A line for each carrier, by number of calls, in the order in which carriers first come. */
export function plotCosts(title: string, costs: readonly CallCost[]): string {
  const carriers = [...new Set(costs.map(({ carrier }) => carrier))];
  return drawPlot({
    title,
    xTitle: 'calls at once',
    yTitle: 'µs of CPU per 20 ms of audio',
    lines: carriers.map((name) => ({
      name,
      points: costs
        .filter(({ carrier }) => carrier === name)
        .sort((a, b) => a.calls - b.calls)
        .map(({ calls, micros }) => ({ x: calls, y: micros })),
    })),
  });
}
