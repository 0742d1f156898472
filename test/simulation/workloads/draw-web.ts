import type { SeededRandom } from '../random.ts';
import { drawStreams } from './draw.ts';
import type { CallPlan, RequestPlan, SendPlan, SessionPlan, StreamPlan, WebPlan } from './plan.ts';

/** Around the gaps of the code space (draft-ietf-webtrans-http3 §4.4), and the ends of it. */
const CODES = [0, 1, 0x1c, 0x1d, 0x1e, 0x1f, 0x3b, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const REASONS = [
  '',
  'all is said',
  'größer',
  '\u{1f399}'.repeat(300),
  'x'.repeat(1024),
  `y${'é'.repeat(900)}`,
];

function code(random: SeededRandom): number {
  return random.chance(0.6) ? random.pick(CODES) : random.integer(0, 0xffff_ffff);
}

function withCode(random: SeededRandom, plan: SendPlan): SendPlan {
  return { ...plan, code: code(random) };
}

function drawSession(random: SeededRandom, nth: number): SessionPlan {
  const streams: StreamPlan[] = drawStreams(random).map((stream) => ({
    ...stream,
    forth: withCode(random, stream.forth),
    back: stream.back && withCode(random, stream.back),
  }));
  const cancel = random.chance(0.08);
  const early = cancel || random.chance(0.25);
  return {
    startMs: nth === 0 ? random.pick([0, 0, 100]) : random.pick([0, 50, 400, 1500]),
    status: random.chance(0.1) ? random.pick([403, 404, 429]) : 200,
    answerAfterMs: random.pick([0, 0, 5, 60]),
    streams,
    drain: random.chance(0.4)
      ? { by: random.pick(['server', 'server', 'client'] as const), atMs: random.between(0, 800) }
      : undefined,
    end: {
      by: cancel ? 'client' : random.pick(['client', 'client', 'server', 'both'] as const),
      atMs: early ? random.between(0, cancel ? 60 : 600) : undefined,
      cancel,
      code: code(random),
      reason: random.pick(REASONS),
    },
  };
}

function drawRequest(random: SeededRandom): RequestPlan {
  return {
    atMs: random.between(0, 800),
    status: random.pick([200, 200, 404, 503]),
    bodyOctets: random.pick([0, 0, 10, 5000, 60_000]),
    answerOctets: random.pick([0, 2, 900, 20_000, 65_000]),
  };
}

/** A call over HTTP/3 in place of one over QUIC itself. */
export function overWeb(random: SeededRandom, call: CallPlan): CallPlan {
  const web: WebPlan = {
    sessions: Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, (_, nth) => drawSession(random, nth)),
    requests: random.chance(0.4)
      ? Array.from({ length: random.integer(1, 3) }, () => drawRequest(random))
      : [],
    goAwayAtMs: random.chance(0.12) ? random.between(0, 1000) : undefined,
  };
  return { ...call, streams: [], web };
}
