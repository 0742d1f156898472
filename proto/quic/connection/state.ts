import type { TlsSession } from '../../tls/index.ts';
import { AckTracker } from '../ack/index.ts';
import type { CloseReason } from '../errors.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { PacketSpace, Recovery } from '../recovery/index.ts';
import { type StreamIntent, StreamSet } from '../streams/index.ts';
import type { TransportParameters } from '../transport-parameters.ts';
import type { Address, Path, RandomSource } from '../types.ts';
import { CloseState } from './close-state.ts';
import type { TransportConfig } from './config.ts';
import { EventQueue } from './event-queue.ts';
import { CryptoReceiver, CryptoSender } from './handshake/crypto-streams.ts';
import type { ConnectionKeys } from './handshake/keys.ts';
import type { ConnectionIdRegistry, LocalConnectionIds } from './ids/local-connection-ids.ts';
import type { RemoteConnectionIds } from './ids/remote-connection-ids.ts';
import type { DropReason, QuicObserver, SpaceName } from './observer.ts';
import { PathMtu } from './path/path-mtu.ts';
import { PathState, PathTable } from './path/paths.ts';
import { UndecryptedBuffer } from './receive/undecrypted.ts';
import { DatagramQueue } from './send/datagrams.ts';
import { RandomBits } from './send/random-bits.ts';
import { SkippedNumbers } from './send/skipped-numbers.ts';

/** What a packet carried, in terms of what to do when it is lost or delivered. Loss brings back the intent, not the octets. */
export type Intent =
  | StreamIntent
  | { readonly kind: 'ack'; readonly largest: number }
  | { readonly kind: 'crypto'; readonly offset: number; readonly length: number }
  | { readonly kind: 'handshakeDone' }
  | { readonly kind: 'mtuProbe'; readonly octets: number }
  | { readonly kind: 'newConnectionId'; readonly sequence: number }
  | { readonly kind: 'retireConnectionId'; readonly sequence: number };

/** One packet number space (RFC 9000 §12.3). */
export class SpaceState {
  readonly id: PacketSpace;
  readonly name: SpaceName;
  readonly ack: AckTracker;
  readonly cryptoIn = new CryptoReceiver();
  readonly cryptoOut = new CryptoSender();
  nextPacketNumber = 0;
  /** Largest packet number of ours that the peer acknowledged, -1 before; says how long a packet number must be. */
  largestAcked = -1;
  /** Ack-eliciting packets that may go past the congestion window (RFC 9002 §6.2.4). */
  probes = 0;
  /** A PING is wanted. */
  pingDue = false;
  /** Packets sent one after the other that asked for no acknowledgement (RFC 9000 §13.2.4). */
  ackOnlySent = 0;

  constructor(id: PacketSpace, name: SpaceName, maxAckDelayMs: number) {
    this.id = id;
    this.name = name;
    this.ack = new AckTracker({ immediate: id !== PacketSpace.APPLICATION, maxAckDelayMs });
  }
}

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
  readonly now: number;
}

/** Everything that the parts of a connection share. Each part is a file of functions over it. */
export class ConnectionState {
  readonly role: 'client' | 'server';
  readonly config: TransportConfig;
  readonly random: RandomSource;
  readonly observer: QuicObserver;
  readonly registry: ConnectionIdRegistry;
  readonly spaces: readonly [SpaceState, SpaceState, SpaceState];
  readonly streams: StreamSet;
  readonly recovery: Recovery<Intent>;
  readonly events: EventQueue;
  readonly datagramsOut: DatagramQueue;
  readonly close = new CloseState();
  readonly paths: PathTable;
  readonly localIds: LocalConnectionIds;
  readonly remoteIds: RemoteConnectionIds;
  readonly keys: ConnectionKeys;
  readonly undecrypted = new UndecryptedBuffer();
  readonly randomBits: RandomBits;
  readonly mtu: PathMtu;
  /** 1-RTT packet numbers left out to catch a peer that acknowledges blindly. */
  readonly skipped: SkippedNumbers;
  readonly counters: ConnectionCounters = {
    packetsSent: 0,
    packetsReceived: 0,
    packetsDropped: 0,
    octetsSent: 0,
    octetsReceived: 0,
    pathChanges: 0,
  };

  tls: TlsSession | undefined;
  readonly createdAt: number;
  readonly originalDestination: Uint8Array;
  /** The Source CID of our first packets. */
  readonly localSourceId: Uint8Array;
  /** The Source CID of the peer's first packet, once there was one (RFC 9000 §7.3). */
  peerSourceId: Uint8Array | undefined;
  /** Client: the Source CID of the Retry that was followed. Server: the one that this client's token names. */
  retrySourceId: Uint8Array | undefined;
  /** Client: the token to put in Initial packets. */
  retryToken: Uint8Array = new Uint8Array(0);
  peerParameters: TransportParameters | undefined;

  /** Octets of UDP payload that we send at most now: what the path is known to carry. */
  datagramSize: number;
  writable = false;
  complete = false;
  /** By a session ticket. */
  resumed = false;
  confirmed = false;
  handshakeMs: number | undefined;
  handshakeDoneDue = false;
  handshakeDoneAcked = false;

  /** Client: the server's address is not the one of the handshake any more, but the one that it prefers. */
  atPreferredAddress = false;
  lastReceivedAt: number;
  /** When the idle timer was last restarted. */
  idleSince: number;
  /** An ack-eliciting packet was sent since the last one came (RFC 9000 §10.1). */
  elicitedSinceReceive = false;
  lastSentAt: number;
  /** Whether datagrams or streams go first into the next packet; they take turns. */
  datagramsFirst = true;
  /** The path in use has no credit left (RFC 9000 §8.1): nothing is sent until more is received. */
  amplificationLimited = false;
  /** 1-RTT packets sent since the last key update of ours. */
  packetsThisPhase = 0;
  /** When the receive keys of the previous phase go (RFC 9001 §6.5). */
  dropPreviousKeysAt: number | undefined;
  /** When the pacer lets the next packet go. */
  pacedUntil: number | undefined;

  constructor(options: StateOptions) {
    const { role, config, now } = options;
    this.role = role;
    this.config = config;
    this.random = options.random;
    this.randomBits = new RandomBits(options.random);
    this.skipped = new SkippedNumbers(options.random);
    this.observer = options.observer;
    this.registry = options.registry;
    this.localIds = options.localIds;
    this.remoteIds = options.remoteIds;
    this.keys = options.keys;
    this.originalDestination = options.originalDestination;
    this.localSourceId = options.localSourceId;
    this.datagramSize = config.datagramSize;
    this.mtu = new PathMtu(config.datagramSize, config.maxDatagramSize);
    this.createdAt = now;
    this.lastReceivedAt = now;
    this.idleSince = now;
    this.lastSentAt = now;
    this.spaces = [
      new SpaceState(PacketSpace.INITIAL, 'initial', 0),
      new SpaceState(PacketSpace.HANDSHAKE, 'handshake', 0),
      new SpaceState(PacketSpace.APPLICATION, 'application', config.maxAckDelayMs),
    ];
    this.recovery = new Recovery<Intent>({ role, maxDatagramOctets: config.datagramSize });
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
    const path = new PathState(options.path, options.via, options.pathValidated);
    path.first = true;
    path.peerUses = 0;
    this.paths = new PathTable(path);
  }

  /** Whether the next packet's Fixed Bit is sent as 0: at random, to peers that take it (RFC 9287 §3.1). */
  get zeroFixedBit(): boolean {
    return this.config.greaseQuicBit && this.peerParameters?.greaseQuicBit === true && this.randomBits.next();
  }

  get isClient(): boolean {
    return this.role === 'client';
  }

  drop(reason: DropReason, octets: number, now: number): void {
    this.counters.packetsDropped += 1;
    this.observer.packetDropped?.(reason, octets, now);
  }

  /** Ends in silence; the closed event follows. */
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
    this.announceClosed(now);
  }

  /** Tells owner and observer why it ended, once. */
  announceClosed(now = this.lastReceivedAt): void {
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

/** `PROTOCOL_VIOLATION` with a reason, the most common complaint. */
export function violation(reason: string, frameType = 0): TransportError {
  return new TransportError(TransportErrorCode.PROTOCOL_VIOLATION, reason, frameType);
}
