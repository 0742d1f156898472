import { type CongestionControl, PacketSpace, Recovery } from '../../proto/quic/recovery/index.ts';
import { seededNumbers } from './quic-fixtures.ts';

const PACKET_OCTETS = 1200;
const ACK_DELAY_MS = 25;
const MAX_ACK_RANGES = 32;

export interface FlowsOptions {
  /** The congestion control of each flow, in the order in which they begin. */
  readonly controls: readonly CongestionControl[];
  /** Of the bottleneck, in kbit/s. */
  readonly rateKbps: number;
  readonly roundTripMs: number;
  /** Share of packets lost at random, of data and of acknowledgements. */
  readonly lossRate?: number;
  /** Octets that wait at the bottleneck at most. Default: a bandwidth-delay product. */
  readonly queueOctets?: number;
  /** Between the beginnings of two flows, in ms. Default 200. */
  readonly apartMs?: number;
  readonly seed?: number;
}

export interface FlowResult {
  readonly control: CongestionControl;
  /** Octets that arrived in the time that was measured. */
  readonly octets: number;
  readonly kbps: number;
  readonly lost: number;
}

interface Step {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Bulk flows over one bottleneck, with nothing of QUIC but its recovery: what congestion control makes of a path. */
export class Flows {
  now = 0;
  readonly #options: Required<FlowsOptions>;
  readonly #random: () => number;
  readonly #steps: Step[] = [];
  #order = 0;
  #busyUntil = 0;
  /** The most that waited at the bottleneck, in ms. */
  longestQueueMs = 0;
  readonly #flows: Flow[];

  constructor(options: FlowsOptions) {
    const bdp = (options.rateKbps / 8) * options.roundTripMs;
    this.#options = { lossRate: 0, queueOctets: bdp, apartMs: 200, seed: 1, ...options };
    this.#random = seededNumbers(this.#options.seed);
    this.#flows = options.controls.map((control, i) => new Flow(control, i * this.#options.apartMs, this));
    for (const flow of this.#flows) this.at(flow.beginsAt, () => flow.drive());
  }

  random(): number {
    return this.#random();
  }

  at(time: number, run: () => void): void {
    const step = { at: Math.max(time, this.now), order: this.#order++, run };
    let i = this.#steps.length;
    while (i > 0 && this.#steps[i - 1]!.at > step.at) i--;
    this.#steps.splice(i, 0, step);
  }

  /** A data packet: when it arrives; undefined when it is lost. */
  arrival(octets: number): number | undefined {
    const { rateKbps, queueOctets, roundTripMs, lossRate } = this.#options;
    const perMs = rateKbps / 8;
    const waitsMs = Math.max(0, this.#busyUntil - this.now);
    this.longestQueueMs = Math.max(this.longestQueueMs, waitsMs);
    if (waitsMs * perMs + octets > queueOctets) return undefined;
    this.#busyUntil = this.now + waitsMs + octets / perMs;
    return this.random() < lossRate ? undefined : this.#busyUntil + roundTripMs / 2;
  }

  /** An acknowledgement, which no queue holds up. */
  ackArrival(): number | undefined {
    const { roundTripMs, lossRate } = this.#options;
    return this.random() < lossRate ? undefined : this.now + roundTripMs / 2;
  }

  run(untilMs: number): void {
    while (this.#steps[0] !== undefined && this.#steps[0].at <= untilMs) {
      const step = this.#steps.shift()!;
      this.now = step.at;
      step.run();
    }
    this.now = untilMs;
  }

  /** What each flow delivers from `fromMs` to `toMs`. */
  measure(fromMs: number, toMs: number): FlowResult[] {
    this.run(fromMs);
    const before = this.#flows.map(({ arrivedOctets }) => arrivedOctets);
    this.run(toMs);
    return this.#flows.map((flow, i) => {
      const octets = flow.arrivedOctets - before[i]!;
      return { control: flow.control, octets, kbps: (octets * 8) / (toMs - fromMs), lost: flow.lost };
    });
  }
}

class Flow {
  readonly control: CongestionControl;
  readonly beginsAt: number;
  arrivedOctets = 0;
  readonly #flows: Flows;
  readonly #recovery: Recovery<never>;
  #next = 0;
  #timer = 0;
  /** Received ranges, from the largest down. */
  readonly #ranges: { smallest: number; largest: number }[] = [];
  #unacked = 0;
  #largestAt = 0;

  constructor(control: CongestionControl, beginsAt: number, flows: Flows) {
    this.control = control;
    this.beginsAt = beginsAt;
    this.#flows = flows;
    this.#recovery = new Recovery<never>({
      role: 'server',
      maxDatagramOctets: PACKET_OCTETS,
      congestionControl: control,
      random: () => flows.random(),
    });
    this.#recovery.setPeerMaxAckDelay(ACK_DELAY_MS);
    this.#recovery.setHandshakeConfirmed(0);
  }

  get lost(): number {
    return this.#recovery.packetsLost;
  }

  /** Sends what may go, and sets the timer for the next thing to do. */
  drive(): void {
    const { now } = this.#flows;
    const recovery = this.#recovery;
    let paced: number | undefined;
    while (recovery.canSend(PACKET_OCTETS)) {
      const at = recovery.paceAt(PACKET_OCTETS, now);
      if (at > now) {
        paced = at;
        break;
      }
      this.#send(now);
    }
    const timer = ++this.#timer;
    const due = Math.min(paced ?? Number.POSITIVE_INFINITY, recovery.deadline() ?? Number.POSITIVE_INFINITY);
    if (due === Number.POSITIVE_INFINITY) return;
    this.#flows.at(due, () => {
      if (timer === this.#timer) this.#wake();
    });
  }

  #wake(): void {
    const outcome = this.#recovery.onDeadline(this.#flows.now);
    if (outcome.type === 'probe') this.#send(this.#flows.now);
    this.drive();
  }

  #send(now: number): void {
    const packetNumber = this.#next++;
    this.#recovery.onPacketSent(PacketSpace.APPLICATION, {
      packetNumber,
      sentAtMs: now,
      octets: PACKET_OCTETS,
      ackEliciting: true,
      inFlight: true,
      retransmits: [],
    });
    const at = this.#flows.arrival(PACKET_OCTETS);
    if (at !== undefined) this.#flows.at(at, () => this.#arrive(packetNumber));
  }

  #arrive(packetNumber: number): void {
    this.arrivedOctets += PACKET_OCTETS;
    const [first] = this.#ranges;
    const gap = first !== undefined && packetNumber !== first.largest + 1;
    if (first !== undefined && packetNumber === first.largest + 1) first.largest = packetNumber;
    else this.#ranges.unshift({ smallest: packetNumber, largest: packetNumber });
    if (this.#ranges.length > MAX_ACK_RANGES) this.#ranges.pop();
    this.#largestAt = this.#flows.now;
    this.#unacked += 1;
    if (this.#unacked >= 2 || gap) this.#acknowledge();
    else this.#flows.at(this.#flows.now + ACK_DELAY_MS, () => this.#acknowledge());
  }

  #acknowledge(): void {
    if (this.#unacked === 0) return;
    this.#unacked = 0;
    const ack = {
      largestAcknowledged: this.#ranges[0]!.largest,
      ackDelayMs: this.#flows.now - this.#largestAt,
      ranges: this.#ranges.map((range) => ({ ...range })),
    };
    const at = this.#flows.ackArrival();
    if (at === undefined) return;
    this.#flows.at(at, () => {
      this.#recovery.onAckReceived(PacketSpace.APPLICATION, ack, this.#flows.now);
      this.drive();
    });
  }
}
