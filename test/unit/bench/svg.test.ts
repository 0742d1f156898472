import { describe, expect, it } from 'vitest';
import { median, withSpread } from '../../bench/figures.ts';
import { drawPlot } from '../../bench/svg.ts';

const plot = {
  title: 'Delay & loss',
  xTitle: '% lost',
  yTitle: 'ms',
  lines: [
    { name: 'one', points: [0, 5, 10].map((x) => ({ x, y: 10 * x })) },
    {
      name: 'two',
      points: [
        { x: 0, y: 100 },
        { x: 5, y: Number.NaN },
        { x: 10, y: 50 },
      ],
    },
  ],
};

/** Commands of the nth line's path. */
const pathOf = (svg: string, line: number) =>
  new RegExp(`class="l${line}"[^>]*d="(M[^h"]*)"`).exec(svg)?.[1] ?? '';

describe('a plot', () => {
  it('is one element of SVG, with what it is called as text', () => {
    const svg = drawPlot(plot);
    expect(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"')).toBe(true);
    expect(svg).toContain('aria-label="Delay &#38; loss"');
    expect(svg.match(/<[a-z]+/g)!.length).toBe(svg.match(/<\/[a-z]+>/g)!.length + svg.match(/\/>/g)!.length);
  });

  it('has colours for dark ground too', () => {
    expect(drawPlot(plot)).toContain('@media(prefers-color-scheme:dark)');
  });

  it('draws larger figures higher, and breaks a line where there is none', () => {
    const svg = drawPlot(plot);
    const heights = [...pathOf(svg, 0).matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));
    expect(heights).toHaveLength(3);
    expect(heights[0]).toBeGreaterThan(heights[1]!);
    expect(heights[1]).toBeGreaterThan(heights[2]!);
    expect(pathOf(svg, 1).match(/M/g)).toHaveLength(2);
  });

  it('has a tick for each power of ten on a logarithmic axis', () => {
    const lines = [{ name: 'one', points: [20, 300, 4000].map((y, x) => ({ x, y })) }];
    const svg = drawPlot({ ...plot, lines, logarithmic: true });
    for (const tick of ['10', '100', '1000', '10000']) expect(svg).toContain(`>${tick}</text>`);
    const heights = [...pathOf(svg, 0).matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));
    expect(heights[0]! - heights[1]!).toBeCloseTo(heights[1]! - heights[2]!, -1);
  });

  it('names what stands below the axis where it is told to', () => {
    const svg = drawPlot({
      ...plot,
      xNames: ['ten', 'fifty'],
      lines: [
        {
          name: 'one',
          points: [
            { x: 0, y: 1 },
            { x: 1, y: 2 },
          ],
        },
      ],
    });
    expect(svg).toContain('>ten</text>');
    expect(svg).toContain('>fifty</text>');
  });

  it('is not drawn of nothing', () => {
    expect(() => drawPlot({ ...plot, lines: [] })).toThrow('nothing to draw');
  });
});

describe('figures of several runs', () => {
  it('are their median, least and most', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(withSpread([30, 10, 20])).toBe('20 (10–30)');
    expect(withSpread([1.26], 1)).toBe('1.3');
    expect(withSpread([])).toBe('–');
  });
});
