import type { Address } from '../net/udp/index.ts';
import { buildProbe, parseVersionNegotiation } from '../proto/invariants/index.ts';
import { connectionIdLength, type QuicLbConfig, UNROUTABLE_ROTATION } from '../proto/quic-lb/index.ts';
import { equalOctets } from '../proto/wire/index.ts';
import type { BackendState } from './route.ts';

/**
 * The client that probes name in SPP: the IPv4 dummy address (RFC 7600 §4.8), which no client can have, and the discard port.
 * What a backend sends to it is for the forwarder itself.
 */
export const PROBE_CLIENT: Address = Object.freeze({ host: '192.0.0.8', port: 9 });

const TOKEN_OCTETS = 8;
/** Larger than any Stateless Reset, which must be smaller than what it answers (RFC 9000 §10.3.3). */
const LIFE_PROBE_OCTETS = 80;

export interface ProbeRules {
  /** Milliseconds between probes of one backend. */
  readonly intervalMs: number;
  /** Probes in a row without an answer until a backend gets no new connections. */
  readonly silentAfter: number;
  /**
   * Probes in a row without any sign of life until its callers are told, by a Stateless Reset of another. A backend whose
   * port is closed does not get so many: two are enough.
   */
  readonly deadAfter: number;
}

/**
 * The health of one backend, judged by probes. Two questions are asked, since a backend that drains is silent but must
 * keep its calls. *Does it take new connections?* A reserved version, to which a server owes Version Negotiation, and
 * which a draining backend leaves unanswered. *Does it live?* Once it is silent, also a short header packet of a CID that no connection
 * has, to which it owes a Stateless Reset, draining or not; any packet that it sends counts as well.
 *
 * Missed probes are counted, not time: when the forwarder itself was held up, no backend is to blame.
 *
 * A backend that stands still (a busy host, a suspended process) may come back with all its calls, so silence alone must be long
 * before it is called dead: as long as clients keep an idle connection. One whose port is closed has ended, and is dead by the
 * next probe.
 */
export class BackendHealth {
  readonly #rules: ProbeRules;
  readonly #random: (octets: number) => Uint8Array;
  readonly #token: Uint8Array;
  readonly #probe: Uint8Array;
  readonly #connectionIdLength: number;
  #missed = 0;
  #withoutLife = 0;
  /** Its host said that the port is closed, since anything was last heard; and whether that was so for a whole interval. */
  #isRefused = false;
  #isGone = false;
  #everHeard = false;

  /** `isTrusted`: whether it takes new connections until probes say otherwise, or only once it has answered one. */
  constructor(
    rules: ProbeRules,
    config: QuicLbConfig,
    random: (octets: number) => Uint8Array,
    isTrusted = true,
  ) {
    this.#rules = rules;
    if (!isTrusted) this.#missed = rules.silentAfter + 1;
    this.#random = random;
    this.#token = random(TOKEN_OCTETS).slice();
    this.#probe = buildProbe(random(TOKEN_OCTETS), this.#token);
    this.#connectionIdLength = connectionIdLength(config);
  }

  get state(): BackendState {
    if (this.#isGone || this.#withoutLife > this.#rules.deadAfter) return 'dead';
    return this.#missed > this.#rules.silentAfter ? 'silent' : 'taking new';
  }

  /** The probes to send now, each without SPP. Call once per interval: it counts what is unanswered. */
  nextProbes(): Uint8Array[] {
    this.#missed++;
    this.#withoutLife++;
    this.#isGone ||= this.#isRefused;
    if (this.#missed <= this.#rules.silentAfter) return [this.#probe];
    return [this.#probe, this.#lifeProbe()];
  }

  /** A packet came from the backend, whatever it was. */
  heard(): void {
    this.#everHeard = true;
    this.#withoutLife = 0;
    this.#isRefused = false;
    this.#isGone = false;
  }

  /** Whether anything ever came from it. */
  get everHeard(): boolean {
    return this.#everHeard;
  }

  /** The backend's host answered that nothing listens on its port (ICMP port unreachable). */
  refused(): void {
    this.#isRefused = true;
  }

  /** What came for `PROBE_CLIENT`: returns whether it says that the backend takes new connections. */
  answered(payload: Uint8Array): boolean {
    const answer = parseVersionNegotiation(payload);
    if (answer === undefined || !equalOctets(answer.destinationConnectionId, this.#token)) return false;
    this.#missed = 0;
    this.heard();
    return true;
  }

  #lifeProbe(): Uint8Array {
    const packet = this.#random(LIFE_PROBE_OCTETS).slice();
    packet[0] = 0x40 | ((packet[0] as number) & 0x3f);
    packet[1] = (UNROUTABLE_ROTATION << 5) | (this.#connectionIdLength - 1);
    return packet;
  }
}
