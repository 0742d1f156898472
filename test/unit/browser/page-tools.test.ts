import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SilenceMeter } from '../../../browser/page/silence.ts';
import { BODIES, OVERVIEW, SIGHTS, sightFact } from '../../../browser/page/sky/bodies.ts';
import { between, eye, place, presence, unitAt, viewOf } from '../../../browser/page/sky/camera.ts';

describe('the camera', () => {
  it.each(SIGHTS)('has %s in the middle of the picture', (sight) => {
    for (const seconds of [0, 33, 5000]) {
      const body = BODIES.find(({ name }) => name === sight);
      const [right, up, depth] = eye(viewOf(sight, seconds))(body ? place(body, seconds) : [0, 0, 0]);
      expect(Math.hypot(right, up)).toBeLessThan(1e-9);
      expect(depth).toBeGreaterThan(body?.radius ?? 1);
    }
  });

  it('goes from one sight to another without a leap, the shorter way round', () => {
    const from = viewOf('Mars', 10);
    const to = viewOf('Neptune', 10);
    expect(between(from, to, 0)).toEqual(from);
    const arrived = between(from, to, 1);
    expect(arrived.target).toEqual(to.target);
    expect(arrived.distance).toBeCloseTo(to.distance);
    expect(Math.abs(arrived.azimuth - from.azimuth)).toBeLessThanOrEqual(Math.PI + 1e-9);
    let last = from;
    for (let share = 0; share <= 1; share += 0.01) {
      const view = between(from, to, share);
      expect(Math.abs(view.azimuth - last.azimuth)).toBeLessThan(0.06);
      last = view;
    }
  });

  /** Bodies of which something is drawn, with their diameter in heights of the picture. */
  const drawn = (view: ReturnType<typeof viewOf>, seconds: number, sights: readonly string[]) =>
    BODIES.flatMap((body) => {
      const [, , depth] = eye(view)(place(body, seconds));
      const present = presence(body.radius, depth, sights.includes(body.name));
      return present > 0 ? [{ name: body.name, present, size: 2 * body.radius * unitAt(depth) }] : [];
    });

  const times = Array.from({ length: 37 }, (_, i) => i * 97);

  it.each(SIGHTS)('sees %s whole, and nothing before it fills the picture', (sight) => {
    for (const seconds of times) {
      const resting = drawn(viewOf(sight, seconds), seconds, [sight]);
      if (sight !== OVERVIEW) expect(resting.find(({ name }) => name === sight)?.present).toBe(1);
      for (const { name, size } of resting) expect(size, name).toBeLessThan(name === sight ? 0.53 : 0.35);
    }
  });

  it.each(SIGHTS)('goes to %s from any other, and nothing fills the picture on the way', (to) => {
    for (const seconds of times) {
      const from = SIGHTS[(SIGHTS.indexOf(to) + seconds) % SIGHTS.length]!;
      for (let share = 0; share <= 1; share += 0.05) {
        const view = between(viewOf(from, seconds), viewOf(to, seconds), share);
        for (const { name, size } of drawn(view, seconds, [from, to]))
          expect(size, `${name}, from ${from}`).toBeLessThan(name === from || name === to ? 0.81 : 0.35);
      }
    }
  });

  it('knows a sentence about all that it can show', () => {
    for (const sight of [...SIGHTS, OVERVIEW]) expect(sightFact(sight)).toMatch(/\.$/);
    expect(sightFact('Pluto')).toBeUndefined();
  });
});

describe('the page’s tools', () => {
  const link = { media: '' };
  beforeEach(() => {
    vi.stubGlobal('matchMedia', () => ({ addEventListener: () => {} }));
    vi.stubGlobal('document', { querySelector: () => link, documentElement: { dataset: {} } });
  });
  afterEach(() => vi.unstubAllGlobals());

  const call = (name: string, args: unknown) => ({
    type: 'function_call',
    name,
    call_id: 'call_1',
    arguments: typeof args === 'string' ? args : JSON.stringify(args),
  });
  const done = (status: string, ...output: object[]) => ({
    type: 'response.done',
    response: { status, output },
  });

  async function answered(event: { type: string }) {
    const { answerCalls } = await import('../../../browser/page/tools.ts');
    const shown: string[] = [];
    const sent: { type: string; item?: { output?: string } }[] = [];
    const sky = {
      show: (sight: string) => {
        shown.push(sight);
        return sightFact(sight);
      },
    };
    answerCalls(event, sky, (out) => sent.push(out));
    return { shown, outputs: sent.flatMap(({ item }) => item?.output ?? []), last: sent.at(-1)?.type };
  }

  it('turn the camera and change the colours, and the model is told', async () => {
    const mars = await answered(done('completed', call('show_planet', { planet: 'Mars' })));
    expect(mars).toEqual({
      shown: ['Mars'],
      outputs: ['The page shows Mars. Its day lasts 24.6 hours, its year 687 days.'],
      last: 'response.create',
    });
    expect((await answered(done('completed', call('set_theme', { theme: 'dark' })))).outputs[0]).toContain(
      'dark',
    );
    expect(link.media).toBe('all');
  });

  it('answer every call of a complete response, also one that asks for what is not there; none of another', async () => {
    const odd = ['', 'no json', 'null', '[]', { planet: 7 }, { planet: 'Pluto' }].map((args) =>
      call('show_planet', args),
    );
    const { outputs, last } = await answered(done('completed', ...odd, call('fly', {}), { type: 'message' }));
    expect(outputs).toHaveLength(odd.length + 1);
    expect(outputs.slice(0, -1).every((output) => output.startsWith('There is no such body'))).toBe(true);
    expect(last).toBe('response.create');
    const many = Array.from({ length: 100 }, () => call('set_theme', { theme: 'light' }));
    expect((await answered(done('completed', ...many))).outputs).toHaveLength(16);
    for (const event of [done('cancelled', call('fly', {})), { type: 'response.done' }, { type: 'error' }])
      expect((await answered(event)).last).toBeUndefined();
  });
});

describe('the silence of a call', () => {
  it('is how much longer than usual words waited, or how long an answer stopped', () => {
    const meter = new SilenceMeter();
    const at = (atMs: number, waitedMs: number, answerStopped = false) =>
      meter.take({ atMs, waitedMs, answerStopped });
    for (let t = 0; t < 2000; t += 50) at(t, t % 200);
    meter.begin(2000);
    for (let t = 2000; t < 7000; t += 50) at(t, t - 2000 + 100);
    expect(meter.isWell(7000)).toBe(false);
    for (let t = 7000; t < 8000; t += 50) at(t, t % 200);
    expect(meter.isWell(8000)).toBe(true);
    expect(meter.end()).toBe(4950 + 100 - 150);

    meter.begin(9000);
    for (let t = 9000; t < 9400; t += 50) at(t, 0, t >= 9100);
    at(9400, 0);
    expect(meter.end()).toBe(250);

    meter.begin(10_000);
    for (let t = 10_000; t < 12_000; t += 50) at(t, 0);
    expect(meter.isWell(12_000)).toBe(true);
    expect(meter.end()).toBe(0);

    meter.reported(900);
    meter.begin(13_000);
    meter.reported(120);
    expect(meter.end()).toBe(120);
  });
});
