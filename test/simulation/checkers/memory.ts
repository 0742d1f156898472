import {
  DEFAULT_TRANSPORT_CONFIG,
  type QuicConnection,
  type QuicEndpoint,
  type QuicMemory,
  type TransportConfig,
} from '../../../proto/quic/index.ts';
import { Violation } from '../violation.ts';
import { HIGH_WATER_OCTETS } from '../workloads/side.ts';

/** A receiving half keeps blocks of this many octets, of which the first and the last may be in use in part. */
const BLOCK_OCTETS = 4096;
/** Looks at a connection once in so many times: it walks all its streams. */
const EVERY = 8;

/** What a connection may hold, from what it grants its peer and what the engine says of its own tables. */
function memoryBounds(config: TransportConfig, held: QuicMemory): QuicMemory {
  const { streams } = held;
  return {
    // How many the application opens is its own affair: the peer allows another as soon as one is over on its side.
    streams: Number.POSITIVE_INFINITY,
    peerStreams: config.initialMaxStreamsBidi + config.initialMaxStreamsUni,
    sendingOctets: config.initialMaxData + streams * (HIGH_WATER_OCTETS + 16_384),
    receivingOctets: Math.min(
      config.initialMaxData + streams * 2 * BLOCK_OCTETS,
      streams * (config.initialMaxStreamData + 2 * BLOCK_OCTETS),
    ),
    handshakeOctets: 65_536,
    undecryptedOctets: 32_768,
    datagramOctets: config.datagramSendQueueOctets + config.datagramReceiveQueueOctets,
    events: 0,
    ackRanges: 33,
    connectionIds: 8 + 8 + 8,
    paths: 4,
  };
}

/** Holds what connections and endpoints keep to their bounds. */
export class MemoryChecker {
  readonly #config: TransportConfig;
  #looks = 0;

  constructor(transport: Partial<TransportConfig>) {
    this.#config = { ...DEFAULT_TRANSPORT_CONFIG, ...transport };
  }

  /** Call when all events were polled and all datagrams sent. */
  checkConnection(host: string, connection: QuicConnection): void {
    if (++this.#looks % EVERY !== 0) return;
    const held = connection.memory();
    const bounds = memoryBounds(this.#config, held);
    for (const name of Object.keys(held) as (keyof QuicMemory)[]) {
      if (held[name] <= bounds[name]) continue;
      throw new Violation(
        'memory',
        `a connection of ${host} holds ${held[name]} ${name}, its bound is ${bounds[name]}`,
      );
    }
  }

  /** All calls of this endpoint are over and all timers ran out. */
  checkEmpty(host: string, endpoint: QuicEndpoint): void {
    const { connections, halfOpen } = endpoint.stats();
    const deadline = endpoint.deadline();
    if (connections === 0 && halfOpen === 0 && deadline === undefined) return;
    throw new Violation(
      'memory',
      `${host} still has ${connections} connections (${halfOpen} half-open) and the deadline ${deadline} when all is over`,
    );
  }
}
