import { describe, expect, test } from 'vitest';
import { DeliveryRate } from '../../../proto/quic/recovery/bbr/delivery-rate.ts';
import { PathModel } from '../../../proto/quic/recovery/bbr/path-model.ts';
import {
  BbrController,
  type CongestionControl,
  type SentPacket,
} from '../../../proto/quic/recovery/index.ts';
import { Flows } from '../../support/recovery-flows.ts';

const SIZE = 1200;

function packet(packetNumber: number, sentAtMs: number, octets = SIZE): SentPacket<never> {
  return { packetNumber, sentAtMs, octets, ackEliciting: true, inFlight: true, retransmits: [] };
}

/** A controller on a path that delivers `perMs` octets a ms, with a round trip of 100 ms and nothing that waits. */
class Path {
  readonly control = new BbrController(SIZE, () => 0.5);
  now = 1000;
  perMs: number;
  readonly states: string[] = [];
  readonly #sent: SentPacket<never>[] = [];
  #next = 0;
  #inFlight = 0;
  #credit = 0;

  constructor(perMs: number) {
    this.perMs = perMs;
  }

  /** Runs, with as much to send as may go; `lose` says which packets never arrive. */
  run(ms: number, lose: (packetNumber: number) => boolean = () => false): void {
    for (const end = this.now + ms; this.now < end; this.now += 1) {
      this.#send();
      this.#deliver(lose);
      const { state } = this.control.figures;
      if (this.states.at(-1) !== state) this.states.push(state);
    }
  }

  #send(): void {
    this.#credit = Math.min(this.#credit + this.control.pacingOctetsPerMs, 10 * SIZE);
    while (this.#credit >= SIZE && this.#inFlight + SIZE <= this.control.windowOctets) {
      this.#credit -= SIZE;
      this.#inFlight += SIZE;
      const sent = packet(this.#next++, this.now);
      this.control.onSent(sent, this.#inFlight);
      this.#sent.push(sent);
    }
  }

  #room = 0;

  #deliver(lose: (packetNumber: number) => boolean): void {
    this.#room = Math.min(this.#room + this.perMs, 4 * SIZE);
    const acked: SentPacket<never>[] = [];
    const lost: SentPacket<never>[] = [];
    while (this.#sent[0] !== undefined && this.#sent[0].sentAtMs + 100 <= this.now) {
      const missing = lose(this.#sent[0].packetNumber);
      if (!missing && this.#room < SIZE) break;
      if (!missing) this.#room -= SIZE;
      const sent = this.#sent.shift()!;
      this.#inFlight -= SIZE;
      (missing ? lost : acked).push(sent);
    }
    if (acked.length + lost.length > 0) this.control.onSettled(acked, lost, this.#inFlight, this.now);
  }
}

describe('delivery rate samples', () => {
  test('what was delivered between a packet and its acknowledgement, over the longer of send and ACK time (BBR draft §4.1.2.2, §4.1.2.3)', () => {
    const rate = new DeliveryRate();
    const sent = [packet(0, 0), packet(1, 10), packet(2, 20)];
    sent.forEach((one, i) => void rate.onSent(one, (i + 1) * SIZE));
    const first = rate.onAcked([sent[0]!], Number.POSITIVE_INFINITY, 100);
    expect(first).toMatchObject({ delivered: SIZE, rttMs: 100, newlyAcked: SIZE });
    const rest = rate.onAcked([sent[1]!, sent[2]!], 50, 130);
    expect(rest?.rate).toBeCloseTo((3 * SIZE) / 130);
    expect(rest?.inFlightWhenSent).toBe(3 * SIZE);
  });

  test('an interval shorter than a round trip tells nothing (BBR draft §4.1.2.3)', () => {
    const rate = new DeliveryRate();
    const one = packet(0, 0);
    rate.onSent(one, SIZE);
    expect(rate.onAcked([one], 200, 100)?.rate).toBe(0);
  });

  test('a packet sent while there was nothing else to send is of the application, until the bubble is gone (BBR draft §4.1.2.4)', () => {
    const rate = new DeliveryRate();
    rate.onAppLimited(0);
    const [one, two, three] = [packet(0, 0), packet(1, 100), packet(2, 200)];
    rate.onSent(one, SIZE);
    expect(rate.onAcked([one], 0, 100)?.appLimited).toBe(true);
    rate.onSent(two, SIZE);
    expect(rate.isAppLimited).toBe(false);
    expect(rate.onAcked([two], 0, 200)?.appLimited).toBe(false);
    rate.onSent(three, SIZE);
    expect(rate.onAcked([three], 0, 300)?.appLimited).toBe(false);
  });

  test('without a packet of the path there is no sample', () => {
    expect(new DeliveryRate().onAcked([packet(0, 0)], 0, 10)).toBeUndefined();
  });
});

describe('the model of the path', () => {
  const sample = (rate: number, more = {}) => ({
    rate,
    delivered: SIZE,
    priorDelivered: 0,
    newlyAcked: SIZE,
    lost: 0,
    inFlightWhenSent: SIZE,
    appLimited: false,
    rttMs: 100,
    ...more,
  });

  test('keeps the highest rate of two cycles, and of the application only what is higher (BBR draft §5.5.5, §5.5.6)', () => {
    const model = new PathModel();
    model.updateMaxBandwidth(sample(50), SIZE);
    model.updateMaxBandwidth(sample(40), SIZE);
    model.updateMaxBandwidth(sample(45, { appLimited: true }), SIZE);
    expect(model.maxBandwidth).toBe(50);
    model.updateMaxBandwidth(sample(60, { appLimited: true }), SIZE);
    expect(model.maxBandwidth).toBe(60);
    model.advanceCycle();
    model.updateMaxBandwidth(sample(30), SIZE);
    expect(model.maxBandwidth).toBe(60);
    model.advanceCycle();
    expect(model.maxBandwidth).toBe(30);
  });

  test('a round ends with a packet that was sent after it began (BBR draft §5.5.1)', () => {
    const model = new PathModel();
    model.startRound(10 * SIZE);
    model.updateMaxBandwidth(sample(1, { priorDelivered: 9 * SIZE }), 11 * SIZE);
    expect(model.roundStart).toBe(false);
    model.updateMaxBandwidth(sample(1, { priorDelivered: 10 * SIZE }), 12 * SIZE);
    expect(model.roundStart).toBe(true);
    expect(model.round).toBe(1);
  });

  test('the shortest round trip is forgotten after 10 s, and asked for anew after 5 (BBR draft §5.3.4.3)', () => {
    const model = new PathModel();
    model.updateMinRtt(50, 1);
    model.updateMinRtt(80, 5000);
    expect([model.minRttMs, model.probeRttExpired]).toEqual([50, false]);
    model.updateMinRtt(80, 5002);
    expect([model.minRttMs, model.probeRttExpired]).toEqual([50, true]);
    model.updateMinRtt(90, 10_003);
    expect(model.minRttMs).toBe(90);
  });

  test('a round with loss brings rate and volume down to what arrived, at most by three tenths (BBR draft §5.5.10.3)', () => {
    const model = new PathModel();
    model.updateMaxBandwidth(sample(100), SIZE);
    model.updateLatest(sample(60, { delivered: 6 * SIZE }), SIZE);
    model.adaptLowerBounds(10 * SIZE);
    model.bound();
    expect(model.bandwidth).toBeCloseTo(70);
    expect(model.inflightShortterm).toBeCloseTo(7 * SIZE);
    model.resetShortterm();
    model.bound();
    expect(model.bandwidth).toBe(100);
  });

  test('leaves 15 % of the volume free (BBR draft §5.3.3.9)', () => {
    const model = new PathModel();
    expect(model.inflightWithHeadroom(SIZE, 4 * SIZE)).toBe(Number.POSITIVE_INFINITY);
    model.inflightLongterm = 100 * SIZE;
    expect(model.inflightWithHeadroom(SIZE, 4 * SIZE)).toBeCloseTo(85 * SIZE);
    model.inflightLongterm = 4 * SIZE;
    expect(model.inflightWithHeadroom(SIZE, 4 * SIZE)).toBe(4 * SIZE);
  });

  test('counts what is acknowledged at once beyond the rate, for ten rounds (BBR draft §5.5.9)', () => {
    const model = new PathModel();
    model.updateMaxBandwidth(sample(10), SIZE);
    model.bound();
    model.updateAggregation(sample(10), 100 * SIZE, true, 0);
    model.updateAggregation(sample(10, { newlyAcked: 8 * SIZE }), 100 * SIZE, true, 10);
    expect(model.extraAcked).toBe(9 * SIZE - 100);
    model.round += 11;
    model.updateAggregation(sample(10, { newlyAcked: 100 }), 100 * SIZE, true, 5000);
    expect(model.extraAcked).toBe(100);
  });
});

describe('BBR', () => {
  test('begins with the initial window, and paces from there, some at once (RFC 9002 §7.2, BBR draft §5.6.2, §5.6.3)', () => {
    const control = new BbrController(SIZE, () => 0.5);
    expect(control.windowOctets).toBe(12_000);
    expect(control.pacingOctetsPerMs).toBeGreaterThan(12_000);
    expect(control.quantumOctets).toBe(Math.min(control.pacingOctetsPerMs, 65_536));
  });

  test('Startup doubles until no more arrives, Drain empties the queue, then ProbeBW goes round (BBR draft §5.3.1.2, §5.3.2)', () => {
    const path = new Path(500);
    path.run(12_000);
    expect(path.states.filter((state) => state !== 'down').slice(0, 3)).toEqual([
      'startup',
      'drain',
      'cruise',
    ]);
    expect(path.states).toContain('refill');
    expect(path.states).toContain('up');
    expect(path.control.figures.bandwidth).toBeGreaterThan(450);
    expect(path.control.figures.bandwidth).toBeLessThan(560);
  });

  test('the window is twice what the path holds, and grows by what is acknowledged (BBR draft §5.6.4.2, §5.6.4.6)', () => {
    const path = new Path(500);
    path.run(8000);
    const { bandwidth, minRttMs } = path.control.figures;
    expect(path.control.windowOctets).toBeGreaterThan(bandwidth * minRttMs);
    expect(path.control.windowOctets).toBeLessThan(2.5 * bandwidth * minRttMs + 20 * SIZE);
  });

  test('probes after two to three seconds, or as often as Reno would have grown (BBR draft §5.3.3.8)', () => {
    const path = new Path(500);
    path.run(20_000);
    const probes = path.states.filter((state) => state === 'refill').length;
    expect(probes).toBeGreaterThanOrEqual(4);
    expect(probes).toBeLessThanOrEqual(10);
  });

  test('asks for the shortest round trip with half the pipe, and goes back to cruise (BBR draft §5.3.4.3, §5.3.4.4)', () => {
    const path = new Path(500);
    path.run(3000);
    path.perMs = 300; // what waits hides the shortest round trip
    path.run(12_000);
    const at = path.states.indexOf('probe-rtt');
    expect(at).toBeGreaterThan(0);
    expect(path.states[at + 1]).toBe('cruise');
  });

  test('finds more room within seconds when there is some (BBR draft §5.3.3.5)', () => {
    const path = new Path(200);
    path.run(6000);
    path.perMs = 800;
    path.run(15_000);
    expect(path.control.figures.bandwidth).toBeGreaterThan(700);
  });

  test('loss while it probes sets the volume that is safe, which bounds the window, and ends the probe (BBR draft §5.3.3.7, §5.5.10.2, §5.6.4.7)', () => {
    const path = new Path(500);
    path.run(8000);
    expect(path.control.figures.inflightLongterm).toBe(Number.POSITIVE_INFINITY);
    path.run(8000, (number) => number % 12 === 0);
    expect(path.control.figures.inflightLongterm).toBeLessThan(200_000);
    expect(path.control.figures.inflightLongterm).toBeGreaterThan(20_000);
    expect(path.control.windowOctets).toBeLessThanOrEqual(path.control.figures.inflightLongterm);
  });

  test('many losses in a round end Startup (BBR draft §5.3.1.3)', () => {
    const path = new Path(2000);
    path.run(2000, (number) => number > 300 && number % 5 === 0);
    expect(path.states).toContain('drain');
  });

  test('the window never falls below four datagrams, but for persistent congestion (BBR draft §5.6.4.3, §5.6.4.4, RFC 9002 §7.6.2)', () => {
    const path = new Path(5);
    path.run(20_000, (number) => number % 3 === 0);
    expect(path.control.windowOctets).toBeGreaterThanOrEqual(4 * SIZE);
    path.control.onPersistentCongestion();
    expect(path.control.windowOctets).toBe(2 * SIZE);
    path.run(1000);
    expect(path.control.windowOctets).toBeGreaterThanOrEqual(4 * SIZE);
  });

  test('a sender that was idle goes on at the rate of the path (BBR draft §5.4.1)', () => {
    const path = new Path(500);
    path.run(6000);
    const { bandwidth } = path.control.figures;
    path.control.onAppLimited(0);
    path.control.onSent(packet(1_000_000, path.now + 5000), SIZE);
    expect(path.control.pacingOctetsPerMs).toBeCloseTo(bandwidth * 0.99, 0);
  });
});

describe('flows over one bottleneck', () => {
  const shares = (controls: readonly CongestionControl[], queueBdps: number, seed: number) => {
    const rateKbps = 10_000;
    const queueOctets = queueBdps * (rateKbps / 8) * 100;
    const flows = new Flows({ controls, rateKbps, roundTripMs: 100, queueOctets, seed });
    const results = flows.measure(20_000, 60_000);
    const fair = results.reduce((sum, { octets }) => sum + octets, 0) / results.length;
    return results.map(({ octets }) => octets / fair);
  };

  test.each([
    [['bbr', 'cubic'], 1],
    [['cubic', 'bbr'], 2],
    [['bbr', 'bbr', 'cubic', 'cubic'], 2],
    [['cubic', 'bbr', 'cubic', 'bbr', 'cubic', 'bbr', 'cubic', 'bbr'], 2],
  ] as const)(
    '%j share it within a half and twice, with a queue of %i BDP',
    (controls, queueBdps) => {
      for (const share of shares(controls, queueBdps, 3)) {
        expect(share).toBeGreaterThan(0.5);
        expect(share).toBeLessThan(2);
      }
    },
    30_000,
  );

  test.each([0.01, 0.05, 0.1, 0.2])(
    'at %d random loss each way BBR delivers more than CUBIC',
    (lossRate) => {
      const kbps = (control: CongestionControl) =>
        new Flows({ controls: [control], rateKbps: 2000, roundTripMs: 100, lossRate }).measure(
          2000,
          32_000,
        )[0]!.kbps;
      expect(kbps('bbr')).toBeGreaterThan(1.3 * kbps('cubic'));
    },
    30_000,
  );
});
