import { describe, expect, it } from 'vitest';
import { FRAME_OCTETS, FrameTimes, reportOf } from '../../bench/callers.ts';
import { plotCosts } from '../../bench/calls-plot.ts';
import { voiceWave } from '../../bench/voice-wave.ts';

describe('times of frames', () => {
  it('are from when a frame was said until all of it was heard', () => {
    const times = new FrameTimes();
    times.say(100);
    times.say(120);
    times.hear(FRAME_OCTETS - 2, 130);
    expect(times.latencies).toEqual([]);
    times.hear(2, 131);
    expect(times.latencies).toEqual([31]);
    times.hear(FRAME_OCTETS, 150);
    expect(times.latencies).toEqual([31, 30]);
    expect(times.sent).toBe(2);
  });

  it('go on where they were when they are forgotten, also behind a thousand frames', () => {
    const times = new FrameTimes();
    for (let frame = 0; frame < 3000; frame++) {
      times.say(20 * frame);
      times.hear(FRAME_OCTETS, 20 * frame + 7);
      if (frame === 2000) times.latencies.length = 0;
    }
    expect(times.latencies).toHaveLength(999);
    expect(new Set(times.latencies)).toEqual(new Set([7]));
  });

  it('are those of all callers in a report', () => {
    const callers = [10, 20].map((lateMs) => {
      const times = new FrameTimes();
      for (let frame = 0; frame < 50; frame++) {
        times.say(20 * frame);
        times.hear(FRAME_OCTETS, 20 * frame + lateMs);
      }
      return { times, closed: lateMs === 20 };
    });
    expect(reportOf(callers)).toMatchObject({ frames: 100, lost: 1, medianMs: 20, p95Ms: 20 });
    expect(reportOf(callers.slice(0, 1))).toMatchObject({ frames: 50, lost: 0, medianMs: 10 });
  });
});

it('a voice-like wave is loud in each 10 ms, as its echo is told from silence', () => {
  const wave = voiceWave(96_000, 48_000);
  for (let at = 0; at < wave.length; at += 480)
    expect(Math.max(...wave.subarray(at, at + 480).map(Math.abs))).toBeGreaterThan(2000);
});

it('a plot of costs has a line for each carrier, by number of calls, each in a colour of its own', () => {
  const names = [
    'Parley',
    'Parley, other',
    'Parley, Opus',
    'Parley, HTTP/2',
    'ws relay',
    'ws, raw',
    'WebRTC',
  ];
  const costs = [100, 10].flatMap((calls) =>
    names.map((carrier, i) => ({ carrier, calls, micros: 100 + 10 * i + calls })),
  );
  const svg = plotCosts('CPU', costs);
  expect([...svg.matchAll(/<path class="l(\d)" stroke-dasharray="[^"]*" d="M[^h"]*L/g)]).toHaveLength(7);
  for (const [i, name] of names.entries()) {
    expect(svg).toContain(`>${name}</text>`);
    expect(svg.match(new RegExp(`\\.l${i}\\{stroke:`, 'g'))).toHaveLength(2);
  }
  const [, first, last] = /class="l0"[^>]*d="M([\d.]+) [\d.]+L([\d.]+)/.exec(svg)!;
  expect(Number(first)).toBeLessThan(Number(last));
});
