/** A small plot as SVG, readable on light and on dark ground. Nothing of it depends on the browser that shows it. */

/** A line of a plot; points whose y is not finite break it. */
export interface Line {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface Plot {
  readonly title: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly lines: readonly Line[];
  /** Names below the x axis in place of numbers, from 0 on. */
  readonly xNames?: readonly string[];
  /** A logarithmic y axis: for figures of very different size, all above 0. */
  readonly logarithmic?: boolean;
  /** Least and most of the y axis; of the figures, unless they are said. */
  readonly yRange?: readonly [least: number, most: number];
}

const WIDTH = 640;
const HEIGHT = 360;
const LEFT = 64;
/** Room for the legend; for names of more than fourteen letters, more. */
const LEAST_RIGHT = 150;
const LEGEND_LINE = 42;
const LETTER = 7;
const TOP = 44;
const BOTTOM = 52;
const TICKS = 5;
/** One of each for every line, light and dark; dashes tell them apart without colour. */
const COLOURS = [
  ['#0b6e4f', '#4fd1a1'],
  ['#b4410e', '#ff9a62'],
  ['#3d4fc4', '#9fb0ff'],
  ['#8a2a86', '#e59be2'],
  ['#7a5c00', '#e0c04c'],
  ['#00707c', '#5cc8d6'],
  ['#a31545', '#ff8fb0'],
] as const;
const DASHES = ['', '7 4', '2 4', '10 3 2 3', '1 3', '14 4', '6 2 1 2 1 2'];

/** Draws it. Throws when there is nothing to draw. */
export function drawPlot(plot: Plot): string {
  const right = WIDTH - legendWidth(plot.lines);
  const points = plot.lines.flatMap(({ points: all }) => all).filter(({ y }) => Number.isFinite(y));
  if (points.length === 0) throw new Error(`nothing to draw: ${plot.title}`);
  // The axis goes from its first round number to its last.
  const xTicks =
    plot.xNames?.map((name, x) => ({ x, name })) ??
    evenTicks(ends(points.map(({ x }) => x))).map((x) => ({ x, name: short(x) }));
  const margin = plot.xNames === undefined ? 0 : 0.3;
  const [xLeast, xMost] = [xTicks[0]!.x - margin, xTicks.at(-1)!.x + margin];
  const yTicks = plot.logarithmic
    ? decades(points)
    : evenTicks(plot.yRange ?? [0, ends(points.map(({ y }) => y))[1]]);
  const [yLeast, yMost] = [yTicks[0]!, yTicks.at(-1)!];
  const scale = plot.logarithmic ? Math.log10 : (value: number) => value;
  const toX = (x: number) => LEFT + ((x - xLeast) / (xMost - xLeast || 1)) * (right - LEFT);
  const toY = (y: number) =>
    HEIGHT -
    BOTTOM -
    ((scale(y) - scale(yLeast)) / (scale(yMost) - scale(yLeast) || 1)) * (HEIGHT - TOP - BOTTOM);
  const parts = [
    text(LEFT, 24, plot.title, 'title'),
    ...yTicks.flatMap((y) => [
      `<line class="grid" x1="${LEFT}" x2="${right}" y1="${at(toY(y))}" y2="${at(toY(y))}"/>`,
      text(LEFT - 8, toY(y) + 4, short(y), 'end'),
    ]),
    ...xTicks.map(({ x, name }) => text(toX(x), HEIGHT - BOTTOM + 20, name, 'middle')),
    text((LEFT + right) / 2, HEIGHT - 10, plot.xTitle, 'middle'),
    text(LEFT, TOP - 6, plot.yTitle, 'unit'),
    ...plot.lines.map((line, i) => drawLine(line, i, toX, toY)),
    ...plot.lines.map(({ name }, i) => legend(name, i, right)),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(plot.title)}">
<style>${style(plot.lines.length)}</style>
${parts.join('\n')}
</svg>
`;
}

function style(count: number): string {
  const colours = (dark: 0 | 1) =>
    COLOURS.slice(0, count)
      .map((colour, i) => `.l${i}{stroke:${colour[dark]}}.d${i}{fill:${colour[dark]}}`)
      .join('');
  return `text{font:12px system-ui,sans-serif;fill:#222}.title{font-size:14px;font-weight:600}.unit{font-size:11px}.middle{text-anchor:middle}.end{text-anchor:end}.grid{stroke:#8884;stroke-width:1}path{fill:none;stroke-width:2}${colours(0)}@media(prefers-color-scheme:dark){text{fill:#ddd}${colours(1)}}`;
}

function drawLine(
  { points }: Line,
  index: number,
  toX: (x: number) => number,
  toY: (y: number) => number,
): string {
  let path = '';
  let down = false;
  const dots: string[] = [];
  for (const { x, y } of points) {
    const shown = Number.isFinite(y);
    if (shown) {
      path += `${down ? 'L' : 'M'}${at(toX(x))} ${at(toY(y))}`;
      dots.push(`<circle class="d${index}" cx="${at(toX(x))}" cy="${at(toY(y))}" r="2.5"/>`);
    }
    down = shown;
  }
  // Many points are a curve, few are measurements.
  const marks = points.length <= 20 ? dots.join('') : '';
  return `<path class="l${index}" stroke-dasharray="${DASHES[index % DASHES.length]}" d="${path}"/>${marks}`;
}

function legendWidth(lines: readonly Line[]): number {
  const letters = Math.max(0, ...lines.map(({ name }) => name.length));
  return Math.max(LEAST_RIGHT, LEGEND_LINE + LETTER * letters);
}

function legend(name: string, index: number, right: number): string {
  const y = TOP + 10 + index * 20;
  const x = right + 12;
  return `<path class="l${index}" stroke-dasharray="${DASHES[index % DASHES.length]}" d="M${x} ${y}h24"/>${text(x + 30, y + 4, name, 'name')}`;
}

function text(x: number, y: number, value: string, kind: string): string {
  return `<text class="${kind}" x="${at(x)}" y="${at(y)}">${escaped(value)}</text>`;
}

function escaped(value: string): string {
  return value.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A coordinate with a digit behind the point. */
const at = (value: number) => String(Math.round(value * 10) / 10);

const short = (value: number) => String(Number(value.toPrecision(6)));

function ends(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

/** Round numbers from one end to the other or just beyond. */
function evenTicks([least, most]: readonly [number, number]): number[] {
  const rough = (most - least || 1) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  const first = Math.floor(least / step);
  const last = Math.ceil(most / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function decades(points: readonly { readonly y: number }[]): number[] {
  const [least, most] = ends(points.map(({ y }) => Math.max(y, 1e-9)));
  const first = Math.floor(Math.log10(least));
  const last = Math.max(first + 1, Math.ceil(Math.log10(most) - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}
