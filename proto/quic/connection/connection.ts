import type { QuicEvent, QuicStats, QuicTransport } from '../events.ts';
import type { ParsedPacket } from '../packet/index.ts';
import { PacketSpace } from '../recovery/index.ts';
import type { Address, Datagram, Path, StreamDirection } from '../types.ts';
import { memoryOf, type QuicMemory } from './memory.ts';
import type { ObservedConnection, QuicObserver } from './observer.ts';
import { migrate } from './path/migration.ts';
import { askPreferredAddressAgain } from './path/preferred-address.ts';
import { asTransportError, receiveDatagram } from './receive/receive.ts';
import { DATAGRAM_OVERHEAD_OCTETS } from './send/packet-builder.ts';
import { transmitDatagram } from './send/transmit.ts';
import type { ConnectionState } from './state.ts';
import { handleDeadline, nextDeadline } from './timers.ts';

/**
 * One QUIC connection, client or server, as a state machine: datagrams and times in, datagrams, a deadline and events
 * out (RFC 9000, 9001, 9002, 9221). Made by a `QuicEndpoint`, which also delivers its datagrams and polls its events.
 */
export class QuicConnection implements QuicTransport {
  readonly role: 'client' | 'server';
  /** A slot for the owner; the engine never looks at it. */
  context: unknown;
  readonly #state: ConnectionState;
  readonly #onActive: () => void;

  /** `onActive` is called whenever the owner should look for datagrams and events again. */
  constructor(state: ConnectionState, onActive: () => void) {
    this.role = state.role;
    this.#state = state;
    this.#onActive = onActive;
  }

  /** The path in use: what is sent goes there. */
  get path(): Path {
    return this.#state.paths.active.path;
  }

  /** The forwarder that the peer's latest packet came through. */
  get via(): Address | undefined {
    return this.#state.paths.active.via;
  }

  /** Octets of UDP payload that the path is known to carry: grows by path MTU discovery (RFC 9000 §14.3). */
  get datagramOctets(): number {
    return this.#state.datagramSize;
  }

  /** Whether it has ended; the `closed` event may still wait to be polled, a CONNECTION_CLOSE to be sent. */
  get closed(): boolean {
    return !this.#state.close.isOpen;
  }

  /** Whether the handshake took up an earlier session, so that no certificate was shown. Known once it is complete. */
  get resumed(): boolean {
    return this.#state.handshake.resumed;
  }

  /** Its owner forgets it: keys that lie outside of JavaScript are wiped. Nothing is called on it after that. */
  dispose(): void {
    this.#state.keys.dispose();
  }

  /** The server name that the client asked for, if any. Known once the handshake is complete. */
  get serverName(): string | undefined {
    return this.#state.handshake.serverName;
  }

  /** Whether nothing is left to do for it: it may be forgotten once its events are polled. */
  get finished(): boolean {
    return this.#state.close.phase === 'closed';
  }

  /** The CID that the peer's latest packet was sent to belongs to this one; for logs. */
  get localConnectionId(): Uint8Array {
    return this.#state.localSourceId;
  }

  /**
   * Takes one datagram. Never throws, whatever it holds. `first` spares it to parse the header of the first packet again: what `parsePacket` said
   * of it with the length of this endpoint's CIDs.
   */
  receive(datagram: Datagram, now: number, first?: ParsedPacket): void {
    receiveDatagram(this.#state, datagram, now, first);
    this.#onActive();
  }

  /** The next datagram to send, `undefined` when there is none now. Call until then. */
  transmit(now: number): Datagram | undefined {
    try {
      return transmitDatagram(this.#state, now);
    } catch (error) {
      // A key that is used up (RFC 9001 §6.6), or a fault of ours: the connection ends, the process goes on. Its close may not be
      // sealable either, so that its timer alone ends it.
      this.#state.fail(asTransportError(error), now);
      this.#onActive();
      return undefined;
    }
  }

  /** When to call `onDeadline` next, in the clock of `now`; `undefined` when nothing is scheduled. */
  deadline(): number | undefined {
    return nextDeadline(this.#state);
  }

  onDeadline(now: number): void {
    handleDeadline(this.#state, now);
    this.#onActive();
  }

  poll(): QuicEvent | undefined {
    return this.#state.events.poll(this.#state.streams);
  }

  /** A datagram that no connection owns ends with this peer's reset token: the peer has lost the connection. */
  onStatelessReset(now: number): void {
    this.#state.end({ kind: 'stateless-reset' }, now);
    this.#onActive();
  }

  openStream(direction: StreamDirection): number | undefined {
    const { close, handshake, streams } = this.#state;
    return close.isOpen && handshake.writable ? streams.openStream(direction) : undefined;
  }

  writeStream(streamId: number, data: Uint8Array, fin = false): void {
    if (!this.#state.close.isOpen) return;
    this.#state.streams.writeStream(streamId, data, fin);
    this.#onActive();
  }

  streamBufferedOctets(streamId: number): number {
    return this.#state.streams.streamBufferedOctets(streamId);
  }

  readStream(
    streamId: number,
    maxOctets?: number,
  ): { readonly data: Uint8Array; readonly fin: boolean } | undefined {
    const taken = this.#state.streams.readStream(streamId, maxOctets);
    if (taken !== undefined) this.#onActive();
    return taken;
  }

  resetStream(streamId: number, code: number, reliableOctets?: number): void {
    if (!this.#state.close.isOpen) return;
    this.#state.streams.resetStream(streamId, code, reliableOctets);
    this.#onActive();
  }

  stopSending(streamId: number, code: number): void {
    if (!this.#state.close.isOpen) return;
    this.#state.streams.stopSending(streamId, code);
    this.#onActive();
  }

  setStreamPriority(streamId: number, priority: number): void {
    this.#state.streams.setStreamPriority(streamId, priority);
  }

  sendDatagram(data: Uint8Array): boolean {
    if (!this.#state.close.isOpen || !this.#state.handshake.writable) return false;
    if (data.length > this.maxDatagramOctets()) return false;
    if (!this.#state.datagramsOut.push(data)) return false;
    this.#onActive();
    return true;
  }

  maxDatagramOctets(): number {
    const offered = this.#state.peerParameters?.maxDatagramFrameSize ?? 0;
    // What the path is known to carry now (RFC 9221 §5): more once probes passed, less again after a black hole or a move.
    const frameRoom = this.#state.datagramSize - DATAGRAM_OVERHEAD_OCTETS;
    return offered === 0 ? 0 : Math.max(0, Math.min(frameRoom, offered - 3));
  }

  close(code: number, reason: string): void {
    if (!this.#state.close.isOpen) return;
    this.#state.close.startClosing(
      { application: true, code, frameType: 0, reason },
      { kind: 'application', by: 'local', code, reason },
    );
    this.#state.announceClosed();
    this.#onActive();
  }

  /**
   * Client: moves to another local address (RFC 9000 §9.2). False when it may not: handshake not confirmed, forbidden by
   * the server, or no spare CID.
   */
  migrate(local: Address, now: number): boolean {
    if (!migrate(this.#state, local, now)) return false;
    askPreferredAddressAgain(this.#state, now);
    this.#onActive();
    return true;
  }

  /** Starts a key update (RFC 9001 §6.1); false while the last one is not done or the handshake not confirmed. */
  updateKeys(): boolean {
    if (!this.#state.handshake.confirmed || !this.#state.close.isOpen) return false;
    return this.#state.keys.application?.update() ?? false;
  }

  /** Updates of our send keys so far, begun by either side. */
  get keyUpdates(): number {
    return this.#state.keys.application?.sendGeneration ?? 0;
  }

  /** Sends a PING, to learn whether the peer is there or to keep the connection. */
  ping(): void {
    if (!this.#state.close.isOpen) return;
    const { keys, spaces } = this.#state;
    if (keys.application === undefined) return;
    spaces[PacketSpace.APPLICATION].queuePing();
    this.#onActive();
  }

  /**
   * Issues new CIDs and has the peer leave the old ones (RFC 9000 §5.1.2), after a change of the load balancer's configuration; within
   * the handshake, or while the peer still leaves those of the last change, as soon as that is done.
   */
  rotateConnectionIds(): void {
    if (!this.#state.close.isOpen) return;
    this.#state.localIds.rotate();
    this.#onActive();
  }

  /**
   * Has another observer see the connection from now on, for a trace on demand; `undefined` when `begin` makes none or it has ended.
   * Transport parameters, which were set before, are told again.
   */
  observe(
    begin: (connection: ObservedConnection) => QuicObserver | undefined,
    now: number,
  ): QuicObserver | undefined {
    const state = this.#state;
    if (!state.close.isOpen) return undefined;
    const { role, originalDestination } = state;
    const observer = begin({ role, originalDestination, path: this.path });
    if (observer === undefined) return undefined;
    if (state.peerParameters !== undefined) observer.parametersSet?.('remote', state.peerParameters, now);
    state.observeToo(observer);
    return observer;
  }

  /** What it holds at the moment; walks its open streams. */
  memory(): QuicMemory {
    return memoryOf(this.#state);
  }

  stats(): QuicStats {
    const { recovery, counters, handshake } = this.#state;
    return {
      handshakeMs: handshake.durationMs,
      latestRttMs: recovery.rtt.latestMs,
      smoothedRttMs: recovery.rtt.smoothedMs,
      minRttMs: recovery.rtt.minMs,
      rttVarMs: recovery.rtt.varMs,
      congestionWindowOctets: recovery.congestionWindowOctets,
      bytesInFlight: recovery.bytesInFlight,
      ptoCount: recovery.ptoCount,
      packetsLost: recovery.packetsLost,
      ...counters,
    };
  }
}
