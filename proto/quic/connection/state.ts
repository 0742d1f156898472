import type { TlsSession } from '../../tls/index.ts';
import type { CloseReason, TransportError } from '../errors.ts';
import { MIN_INITIAL_DATAGRAM_OCTETS } from '../packet/index.ts';
import { PacketSpace, Recovery } from '../recovery/index.ts';
import { StreamSet } from '../streams/index.ts';
import type { TransportParameters } from '../transport-parameters.ts';
import type { Address, Path, RandomSource } from '../types.ts';
import { CloseState } from './close-state.ts';
import type { TransportConfig } from './config.ts';
import { EventQueue } from './event-queue.ts';
import { HandshakeState } from './handshake/handshake-state.ts';
import type { ConnectionKeys } from './handshake/keys.ts';
import { IdleTimer } from './idle-timer.ts';
import type { ConnectionIdRegistry, LocalConnectionIds } from './ids/local-connection-ids.ts';
import type { RemoteConnectionIds } from './ids/remote-connection-ids.ts';
import { combineObservers, type DropReason, type QuicObserver } from './observer.ts';
import { PathMtu } from './path/path-mtu.ts';
import { PathState, PathTable } from './path/paths.ts';
import { UndecryptedBuffer } from './receive/undecrypted.ts';
import { AckRequest } from './send/ack-frequency.ts';
import type { DatagramSlab } from './send/datagram-slab.ts';
import { DatagramQueue } from './send/datagrams.ts';
import { RandomBits } from './send/random-bits.ts';
import type { Retransmit } from './send/retransmit.ts';
import { SkippedNumbers } from './send/skipped-numbers.ts';
import { SpaceState } from './space-state.ts';

/** Less than this is not worth a packet: a short header with the longest CID, a tag and a small frame. */
const MIN_SEND_OCTETS = 64;
const NO_TOKEN = new Uint8Array(0);

export interface ConnectionCounters {
  packetsSent: number;
  packetsReceived: number;
  packetsDropped: number;
  octetsSent: number;
  octetsReceived: number;
  pathChanges: number;
}

export interface StateOptions {
  readonly role: 'client' | 'server';
  readonly config: TransportConfig;
  readonly random: RandomSource;
  readonly observer: QuicObserver;
  readonly registry: ConnectionIdRegistry;
  readonly path: Path;
  readonly via: Address | undefined;
  readonly pathValidated: boolean;
  readonly localIds: LocalConnectionIds;
  readonly remoteIds: RemoteConnectionIds;
  readonly keys: ConnectionKeys;
  /** The Destination CID of the client's very first Initial. */
  readonly originalDestination: Uint8Array;
  readonly localSourceId: Uint8Array;
  readonly slab: DatagramSlab;
  readonly now: number;
}

/** Everything that the parts of a connection share. Each part is a file of functions over it. */
export class ConnectionState {
  readonly role: 'client' | 'server';
  readonly config: TransportConfig;
  readonly random: RandomSource;
  readonly registry: ConnectionIdRegistry;
  readonly spaces: readonly [SpaceState, SpaceState, SpaceState];
  readonly streams: StreamSet;
  readonly recovery: Recovery<Retransmit>;
  readonly events: EventQueue;
  readonly datagramsOut: DatagramQueue;
  readonly close = new CloseState();
  readonly handshake: HandshakeState;
  readonly idle: IdleTimer;
  /** Where its datagrams are written. */
  readonly slab: DatagramSlab;
  readonly paths: PathTable;
  readonly localIds: LocalConnectionIds;
  readonly remoteIds: RemoteConnectionIds;
  readonly keys: ConnectionKeys;
  readonly undecrypted = new UndecryptedBuffer();
  readonly randomBits: RandomBits;
  readonly mtu: PathMtu;
  /** 1-RTT packet numbers left out to catch a peer that acknowledges blindly. */
  readonly skipped: SkippedNumbers;
  readonly ackRequest = new AckRequest();
  readonly counters: ConnectionCounters = {
    packetsSent: 0,
    packetsReceived: 0,
    packetsDropped: 0,
    octetsSent: 0,
    octetsReceived: 0,
    pathChanges: 0,
  };

  #observer: QuicObserver;
  tls: TlsSession | undefined;
  readonly originalDestination: Uint8Array;
  /** The Source CID of our first packets. */
  readonly localSourceId: Uint8Array;
  /** The Source CID of the peer's first packet, once there was one (RFC 9000 §7.3). */
  peerSourceId: Uint8Array | undefined;
  /** Client: the Source CID of the Retry that was followed. Server: the one that this client's token names. */
  retrySourceId: Uint8Array | undefined;
  /** Client: the token to put in Initial packets. */
  retryToken: Uint8Array = NO_TOKEN;
  peerParameters: TransportParameters | undefined;

  /** Client: the server's address is not the one of the handshake any more, but the one that it prefers. */
  atPreferredAddress = false;
  /** Whether datagrams or streams go first into the next packet; they take turns. */
  datagramsFirst = true;
  /** When the pacer lets the next packet go. */
  pacedUntil: number | undefined;

  constructor(options: StateOptions) {
    const { role, config, now } = options;
    this.role = role;
    this.config = config;
    this.random = options.random;
    this.randomBits = new RandomBits(options.random);
    this.skipped = new SkippedNumbers(options.random);
    this.#observer = options.observer;
    this.registry = options.registry;
    this.localIds = options.localIds;
    this.remoteIds = options.remoteIds;
    this.keys = options.keys;
    this.originalDestination = options.originalDestination;
    this.localSourceId = options.localSourceId;
    this.mtu = new PathMtu(config.datagramSize, config.maxDatagramSize);
    this.handshake = new HandshakeState(now);
    this.idle = new IdleTimer(config.maxIdleTimeoutMs, now);
    this.slab = options.slab;
    this.spaces = [
      new SpaceState(PacketSpace.INITIAL, 'initial', 0),
      new SpaceState(PacketSpace.HANDSHAKE, 'handshake', 0),
      new SpaceState(PacketSpace.APPLICATION, 'application', config.maxAckDelayMs),
    ];
    this.recovery = new Recovery<Retransmit>({
      role,
      maxDatagramOctets: config.datagramSize,
      congestionControl: config.congestionControl,
      random: () => fraction(options.random),
    });
    this.streams = new StreamSet({
      role,
      local: {
        initialMaxData: config.initialMaxData,
        initialMaxStreamDataBidiLocal: config.initialMaxStreamData,
        initialMaxStreamDataBidiRemote: config.initialMaxStreamData,
        initialMaxStreamDataUni: config.initialMaxStreamData,
        initialMaxStreamsBidi: config.initialMaxStreamsBidi,
        initialMaxStreamsUni: config.initialMaxStreamsUni,
      },
    });
    this.events = new EventQueue(config.datagramReceiveQueueOctets);
    this.datagramsOut = new DatagramQueue(config.datagramSendQueueOctets);
    const path = new PathState(options.path, options.via, options.pathValidated, 0);
    path.first = true;
    this.paths = new PathTable(path);
  }

  /** Whether the next packet's Fixed Bit is sent as 0: at random, to peers that take it (RFC 9287 §3.1). */
  get zeroFixedBit(): boolean {
    return this.config.greaseQuicBit && this.peerParameters?.greaseQuicBit === true && this.randomBits.next();
  }

  /** Octets of UDP payload that we send at most now: what the path is known to carry. */
  get datagramSize(): number {
    return this.mtu.current;
  }

  /** Less than this is not sent as a datagram of its own. */
  get minSendOctets(): number {
    // Before the handshake is done whole datagrams are sent or none: an Initial may have to fill one (RFC 9000 §14.1).
    return this.handshake.complete
      ? MIN_SEND_OCTETS
      : Math.min(this.datagramSize, MIN_INITIAL_DATAGRAM_OCTETS);
  }

  /** The path in use has too little credit left (RFC 9000 §8.1): nothing is sent until more is received. */
  get amplificationLimited(): boolean {
    return this.paths.active.allowance < this.minSendOctets;
  }

  get isClient(): boolean {
    return this.role === 'client';
  }

  drop(reason: DropReason, octets: number, now: number): void {
    this.counters.packetsDropped += 1;
    this.observer.packetDropped?.(reason, octets, now);
  }

  /** Ends without a CONNECTION_CLOSE; the closed event follows. */
  end(reason: CloseReason, now: number): void {
    if (this.close.phase === 'closed') return;
    const first = this.close.isOpen;
    this.close.end(reason);
    if (first) this.announceClosed(now);
    this.localIds.releaseAll();
    this.remoteIds.releaseAll();
  }

  /** Starts closing for something the peer, or we, did wrong. */
  fail(error: TransportError, now: number): void {
    const { code, frameType, message: reason } = error;
    this.close.startClosing(
      { application: false, code, frameType, reason },
      { kind: 'transport', by: 'local', code, frameType, reason },
    );
    this.startCloseTimer(now);
    this.announceClosed(now);
  }

  /** Closing and draining end in a while (RFC 9000 §10.2). Call whenever a time is known; nothing happens while it is open. */
  startCloseTimer(now: number): void {
    if (this.close.isEnding) this.close.startTimer(now, this.recovery.ptoMs());
  }

  /** Sees what the connection does. */
  get observer(): QuicObserver {
    return this.#observer;
  }

  /** Has another observer see it too, from now on. */
  observeToo(observer: QuicObserver): void {
    this.#observer = combineObservers(this.#observer, observer);
  }

  /** Tells owner and observer why it ended, once. */
  announceClosed(now = this.idle.lastReceivedAt): void {
    const reason = this.close.reason;
    if (reason === undefined || this.#announced) return;
    this.#announced = true;
    this.undecrypted.clear();
    this.datagramsOut.clear();
    this.events.setClosed({ type: 'closed', reason });
    this.observer.closed?.(reason, now);
  }

  #announced = false;
}

/** A number from 0 up to 1. */
function fraction(random: RandomSource): number {
  const octets = random(2);
  return (octets[0]! * 256 + octets[1]!) / 65_536;
}
