import { CryptoReceiver } from '../../proto/quic/connection/handshake/crypto-streams.ts';
import {
  type AckRange,
  type ConnectionCloseFrame,
  decodeFrames,
  type Frame,
} from '../../proto/quic/frames/index.ts';
import type { Address, Datagram } from '../../proto/quic/index.ts';
import { parsePacket } from '../../proto/quic/packet/index.ts';
import { deriveInitialKeys, PacketKeys } from '../../proto/quic/protection/index.ts';
import {
  decodeTransportParameters,
  encodeTransportParameters,
  type TransportParameters,
} from '../../proto/quic/transport-parameters.ts';
import {
  type CipherSuite,
  type CryptoLevel,
  TlsClient,
  type TlsEvent,
  TlsServer,
  type TlsSession,
} from '../../proto/tls/index.ts';
import { ENGINE_ADDRESS, Engine, PEER_ADDRESS, type Target } from './conformance-engine.ts';
import {
  FreeApplicationKeys,
  type Level,
  type PacketOptions,
  type Part,
  sealParts,
} from './conformance-packets.ts';
import { seededRandom, testCertificate } from './quic-fixtures.ts';

export interface SeenPacket {
  readonly level: Level;
  readonly packetNumber: number;
  readonly frames: readonly Frame[];
  readonly ackEliciting: boolean;
  readonly generation: number;
  readonly at: number;
  readonly remote: Address;
}

export interface PeerOptions {
  readonly seed?: number;
  /** One way, in milliseconds. Default 10. */
  readonly latencyMs?: number;
  /** The transport parameters to send, from those that are right. */
  readonly parameters?: (right: Partial<TransportParameters>) => Partial<TransportParameters> | Uint8Array;
  readonly sourceIdOctets?: number;
  /** Of the client's first Destination CID. */
  readonly destinationIdOctets?: number;
}

const GENEROUS: Partial<TransportParameters> = {
  initialMaxData: 1 << 24,
  initialMaxStreamDataBidiLocal: 1 << 24,
  initialMaxStreamDataBidiRemote: 1 << 24,
  initialMaxStreamDataUni: 1 << 24,
  initialMaxStreamsBidi: 100,
  initialMaxStreamsUni: 100,
  activeConnectionIdLimit: 4,
  maxDatagramFrameSize: 65_535,
  resetStreamAt: true,
};
const SPACE: { readonly [level in Level]: CryptoLevel } = {
  initial: 'initial',
  handshake: 'handshake',
  oneRtt: 'application',
};
const NO_TOKEN = new Uint8Array(0);
const MAX_ROUNDS = 20_000;

/**
 * A peer made of nothing but keys: it completes a handshake with the engine and can then, or at any step on the way, send any
 * frame in any packet. Time is its own: it moves by `latencyMs` with each flight and to the engine's deadlines.
 */
export class RawPeer {
  readonly role: 'client' | 'server';
  readonly target: Target;
  now = 1000;
  readonly latencyMs: number;
  readonly random;
  readonly sourceId: Uint8Array;
  /** The CID to send to. */
  destinationId: Uint8Array;
  /** The client's first Destination CID. */
  originalDestination: Uint8Array;
  token: Uint8Array = NO_TOKEN;
  tls: TlsSession | undefined;
  complete = false;
  handshakeDone = false;
  engineParameters: TransportParameters | undefined;
  initial: { send: PacketKeys; receive: PacketKeys } | undefined;
  handshake: { send: PacketKeys; receive: PacketKeys } | undefined;
  application: FreeApplicationKeys | undefined;
  /** The 1-RTT traffic secrets of both directions, as they were at first. */
  applicationSecrets: { suite: CipherSuite; mine: Uint8Array; engines: Uint8Array } | undefined;
  readonly next: Record<Level, number> = { initial: 0, handshake: 0, oneRtt: 0 };
  readonly seen: SeenPacket[] = [];
  readonly raw: Datagram[] = [];
  /** Answer ack-eliciting packets with an ACK of all that came. */
  autoAck = true;
  /** Give TLS what comes, and send what it says. */
  autoHandshake = true;
  /** What the peer has to say, before it is sent. A test may change it. */
  onTlsSend: (level: CryptoLevel, data: Uint8Array) => readonly Uint8Array[] = (_, data) => [data];
  readonly #options: PeerOptions;
  readonly #crypto: Record<Level, CryptoReceiver> = {
    initial: new CryptoReceiver(),
    handshake: new CryptoReceiver(),
    oneRtt: new CryptoReceiver(),
  };
  readonly #cryptoSent: Record<Level, number> = { initial: 0, handshake: 0, oneRtt: 0 };
  readonly received: Record<Level, Set<number>> = {
    initial: new Set(),
    handshake: new Set(),
    oneRtt: new Set(),
  };
  readonly #largest: Record<Level, number> = { initial: -1, handshake: -1, oneRtt: -1 };
  #out: { data: Uint8Array; from: Address }[] = [];
  octetsSent = 0;
  octetsReceived = 0;
  address: Address = PEER_ADDRESS;

  constructor(role: 'client' | 'server', target: Target, options: PeerOptions = {}) {
    this.role = role;
    this.target = target;
    this.#options = options;
    this.latencyMs = options.latencyMs ?? 10;
    this.random = seededRandom(options.seed ?? 1);
    this.sourceId = this.random(options.sourceIdOctets ?? 8);
    this.originalDestination = this.random(options.destinationIdOctets ?? 8);
    this.destinationId = this.originalDestination;
    if (role === 'client') this.#startClient();
  }

  #startClient(): void {
    const { client, server } = deriveInitialKeys(this.originalDestination);
    this.initial = { send: client, receive: server };
    this.tls = new TlsClient({
      random: this.random,
      serverName: 'localhost',
      alpnProtocols: ['test'],
      transportParameters: this.#parameters({}),
      nowEpochMs: 0,
      trust: { kind: 'any' },
    });
  }

  #startServer(destination: Uint8Array, source: Uint8Array): void {
    this.originalDestination = destination.slice();
    this.destinationId = source.slice();
    this.useInitialKeys(destination);
    this.tls = new TlsServer({
      random: this.random,
      certificates: [testCertificate],
      alpnProtocols: ['test'],
      transportParameters: this.#parameters({
        originalDestinationConnectionId: this.originalDestination,
        statelessResetToken: new Uint8Array(16).fill(0xee),
      }),
    });
  }

  /** Server: Initial keys from the Destination CID of the client's first packet. */
  useInitialKeys(destination: Uint8Array): void {
    const { client, server } = deriveInitialKeys(destination);
    this.initial =
      this.role === 'server' ? { send: server, receive: client } : { send: client, receive: server };
  }

  #parameters(more: Partial<TransportParameters>): Uint8Array {
    const right = { ...GENEROUS, initialSourceConnectionId: this.sourceId, ...more };
    const sent = this.#options.parameters?.(right) ?? right;
    return sent instanceof Uint8Array ? sent : encodeTransportParameters(sent);
  }

  #pumpTls(): void {
    for (let event = this.tls?.poll(); event !== undefined; event = this.tls?.poll()) this.#onTls(event);
  }

  #onTls(event: TlsEvent): void {
    switch (event.type) {
      case 'send':
        this.sendCrypto(event.level, this.onTlsSend(event.level, event.data));
        return;
      case 'secrets': {
        const { cipherSuite: suite, clientSecret, serverSecret } = event;
        const [mine, other] =
          this.role === 'client' ? [clientSecret, serverSecret] : [serverSecret, clientSecret];
        if (event.level === 'handshake')
          this.handshake = { send: new PacketKeys(suite, mine), receive: new PacketKeys(suite, other) };
        else {
          this.application = new FreeApplicationKeys(suite, mine, other);
          this.applicationSecrets = { suite, mine, engines: other };
        }
        return;
      }
      case 'transportParameters':
        this.engineParameters = decodeTransportParameters(
          event.data,
          this.role === 'client' ? 'server' : 'client',
        );
        return;
      case 'complete':
        this.complete = true;
    }
  }

  /** Sends handshake octets in order, one CRYPTO frame and packet for each piece of at most 1000 octets. */
  sendCrypto(tlsLevel: CryptoLevel, messages: readonly Uint8Array[]): void {
    const level: Level = tlsLevel === 'application' ? 'oneRtt' : tlsLevel;
    for (const data of messages)
      for (let at = 0; at < data.length; at += 1000) {
        const piece = data.subarray(at, at + 1000);
        this.queue(level, { type: 'crypto', offset: this.#cryptoSent[level], data: piece });
        this.#cryptoSent[level] += piece.length;
      }
  }

  /** A packet of these parts, sealed with the keys of its level. */
  packet(level: Level, parts: readonly Part[], options: PacketOptions = {}): Uint8Array {
    const packetNumber = options.packetNumber ?? this.next[level];
    this.next[level] = Math.max(this.next[level], packetNumber + 1);
    const generation = options.generation ?? this.application?.generation ?? 0;
    const keys = level === 'oneRtt' ? this.application?.sealer(generation) : this[level]?.send;
    if (keys === undefined) throw new Error(`no keys for ${level}`);
    const fields = {
      level,
      packetNumber,
      destination: options.destination ?? this.destinationId,
      source: options.source ?? this.sourceId,
      token: options.token ?? (level === 'initial' ? this.token : NO_TOKEN),
      keyPhase: (generation & 1) as 0 | 1,
      firstBits: options.firstBits ?? 0,
      padTo: options.padTo ?? (level === 'initial' ? 1200 : 0),
    };
    return sealParts(fields, keys, parts);
  }

  /** Puts a packet of one frame into the next flight. */
  queue(level: Level, ...parts: Part[]): void {
    this.queueDatagram(this.packet(level, parts));
  }

  queueDatagram(data: Uint8Array, from = this.address): void {
    this.#out.push({ data, from });
  }

  /** Sends frames in one packet and runs until both sides are quiet. */
  send(level: Level, ...parts: Part[]): void {
    this.queue(level, ...parts);
    this.settle();
  }

  sendDatagram(data: Uint8Array, from = this.address): void {
    this.queueDatagram(data, from);
    this.settle();
  }

  /** Delivers at once, without letting the engine answer: for floods. */
  push(data: Uint8Array, from = this.address): void {
    this.octetsSent += data.length;
    this.target.receive({ data, path: { local: ENGINE_ADDRESS, remote: from } }, this.now);
  }

  /** Takes what the engine has to send now; answers of ours wait. */
  collect(): Datagram[] {
    const got: Datagram[] = [];
    for (let sent = this.target.transmit(this.now); sent; sent = this.target.transmit(this.now))
      got.push(sent);
    for (const datagram of got) this.#receive(datagram);
    return got;
  }

  /** Flights go to and fro, time with them, until both sides are quiet. */
  settle(): void {
    if (this.autoHandshake) this.#pumpTls();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const got = this.collect();
      if (this.autoHandshake) this.#pumpTls();
      const out = this.#out;
      if (got.length === 0 && out.length === 0) return;
      this.#out = [];
      this.now += this.latencyMs;
      for (const { data, from } of out) this.push(data, from);
    }
    throw new Error(`not quiet after ${MAX_ROUNDS} rounds`);
  }

  /** Lets `ms` pass, deadline by deadline. */
  run(ms: number): void {
    const end = this.now + ms;
    this.settle();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const at = this.target.deadline();
      if (at === undefined || at > end) {
        this.now = Math.max(this.now, end);
        return;
      }
      this.now = Math.max(this.now, at);
      this.target.onDeadline(this.now);
      this.settle();
    }
    throw new Error(`more than ${MAX_ROUNDS} deadlines: something spins`);
  }

  #receive(datagram: Datagram): void {
    const { data } = datagram;
    this.raw.push(datagram);
    this.octetsReceived += data.length;
    for (let at = 0; at < data.length; ) {
      const header = parsePacket(data, at, this.sourceId.length);
      if (header.type === 'drop' || header.type === 'unknownVersion') return;
      at = header.end;
      if (header.type !== 'initial' && header.type !== 'handshake' && header.type !== 'oneRtt') continue;
      if (header.type === 'initial' && this.role === 'server' && this.tls === undefined)
        this.#startServer(header.destinationConnectionId, header.sourceConnectionId);
      const keys = header.type === 'oneRtt' ? this.application : this[header.type]?.receive;
      const expected = this.#largest[header.type] + 1;
      const opened = keys?.open(data, header.start, header.packetNumberAt, header.end, expected);
      if (opened === undefined) continue;
      if (header.type !== 'oneRtt' && this.role === 'client')
        this.destinationId = header.sourceConnectionId.slice();
      this.#process(header.type, opened, datagram.path.remote);
    }
  }

  #process(
    level: Level,
    opened: { packetNumber: number; payload: Uint8Array; generation?: number },
    remote: Address,
  ): void {
    const sender = this.role === 'client' ? 'server' : 'client';
    const { packetNumber, payload, generation = 0 } = opened;
    const { frames, ackEliciting } = decodeFrames(payload, level, sender);
    this.#largest[level] = Math.max(this.#largest[level], packetNumber);
    this.received[level].add(packetNumber);
    this.seen.push({ level, packetNumber, frames, ackEliciting, generation, at: this.now, remote });
    for (const frame of frames) {
      if (frame.type === 'handshakeDone') this.handshakeDone = true;
      if (frame.type !== 'crypto' || !this.autoHandshake) continue;
      for (const piece of this.#crypto[level].receive(frame.offset, frame.data))
        this.tls?.receive(SPACE[level], piece);
      this.#pumpTls();
    }
    if (ackEliciting && this.autoAck) this.queue(level, ackOf(this.received[level]));
  }

  /** Frames of one type that came, in order. */
  framesOf<T extends Frame['type']>(type: T, since = 0): Extract<Frame, { type: T }>[] {
    return this.seen
      .slice(since)
      .flatMap(({ frames }) => frames)
      .filter((frame): frame is Extract<Frame, { type: T }> => frame.type === type);
  }

  /** The CONNECTION_CLOSE that came, the one of the highest level. */
  get closed(): ConnectionCloseFrame | undefined {
    const frames = this.framesOf('connectionClose');
    return frames[frames.length - 1];
  }

  /** Its code, `undefined` while the connection lives. */
  get closeCode(): number | undefined {
    return this.closed?.code;
  }
}

/** An ACK frame of these packet numbers. */
export function ackOf(numbers: Iterable<number>): Frame {
  const sorted = [...numbers].sort((a, b) => b - a);
  const ranges: { smallest: number; largest: number }[] = [];
  for (const number of sorted) {
    const last = ranges[ranges.length - 1];
    if (last !== undefined && last.smallest === number + 1) last.smallest = number;
    else ranges.push({ smallest: number, largest: number });
  }
  return ackRanges(...ranges);
}

export function ackRanges(...ranges: AckRange[]): Frame {
  return { type: 'ack', ranges, delay: 0, ecn: undefined };
}

/** A raw client and a server connection of the engine, before the first datagram. */
export function rawClient(
  options: PeerOptions = {},
  transport: ConstructorParameters<typeof Engine>[0] = {},
) {
  const engine = new Engine(transport);
  return { engine, peer: new RawPeer('client', engine, options) };
}

/** The same with the handshake done and confirmed. */
export function liveServer(
  options: PeerOptions = {},
  transport: ConstructorParameters<typeof Engine>[0] = {},
) {
  const both = rawClient(options, transport);
  both.peer.settle();
  if (!both.peer.handshakeDone) throw new Error(`no handshake: ${JSON.stringify(both.peer.closed)}`);
  return both;
}

/** A raw server and a client connection of the engine that is about to send its first flight. */
export function rawServer(
  options: PeerOptions = {},
  transport: ConstructorParameters<typeof Engine>[0] = {},
) {
  const engine = new Engine(transport);
  const peer = new RawPeer('server', engine, options);
  engine.dial(peer.now);
  return { engine, peer };
}

/** The same with the handshake done and confirmed. */
export function liveClient(
  options: PeerOptions = {},
  transport: ConstructorParameters<typeof Engine>[0] = {},
) {
  const both = rawServer(options, transport);
  both.peer.settle();
  if (!both.peer.complete) throw new Error(`no handshake: ${JSON.stringify(both.peer.closed)}`);
  both.peer.send('oneRtt', { type: 'handshakeDone' });
  return both;
}

/** Live connections of either role, for rules that hold for both. */
export const live = { server: liveServer, client: liveClient } as const;
