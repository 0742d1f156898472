import { TransportError, TransportErrorCode } from '../../errors.ts';
import {
  type AckFrequencyFrame,
  type ConnectionCloseFrame,
  type DatagramFrame,
  type FlowFrame,
  type Frame,
  FrameType,
  type ImmediateAckFrame,
  type ResetStreamAtFrame,
} from '../../frames/index.ts';
import type { StreamDirection } from '../../types.ts';
import { onCryptoFrame, onHandshakeConfirmed } from '../handshake/handshake.ts';
import { onPathResponse } from '../path/migration.ts';
import type { PathState } from '../path/paths.ts';
import { moveToPreferredAddress, probePreferredAddress } from '../path/preferred-address.ts';
import { policyOf } from '../send/ack-frequency.ts';
import { onAckFrame } from '../send/acks.ts';
import type { SpaceState } from '../space-state.ts';
import type { ConnectionState } from '../state.ts';

/** The packet whose frames are handled. */
export interface PacketContext {
  readonly space: SpaceState;
  readonly packetNumber: number;
  /** Key generation of a 1-RTT packet, else 0. */
  readonly generation: number;
  readonly destination: Uint8Array;
  /** The path it came by. */
  readonly path: PathState;
  readonly now: number;
}

const direction = (bidirectional: boolean): StreamDirection =>
  bidirectional ? 'bidirectional' : 'unidirectional';

/** Handles one frame; it was allowed in its packet (RFC 9000 §12.4). Throws `TransportError` or `TlsAlertError`. */
export function handleFrame(state: ConnectionState, frame: Frame, packet: PacketContext): void {
  switch (frame.type) {
    case 'stream':
      state.streams.onStream(frame.streamId, frame.offset, frame.data, frame.fin);
      return;
    case 'ack':
      onAckFrame(state, packet.space, frame, packet.generation, packet.now);
      return;
    case 'padding':
    case 'ping':
      return;
    case 'crypto':
      onCryptoFrame(state, packet.space, frame.offset, frame.data, packet.now);
      return;
    case 'datagram':
      onDatagram(state, frame);
      return;
    case 'connectionClose':
      onConnectionClose(state, frame, packet.now);
      return;
    case 'newConnectionId':
    case 'retireConnectionId':
    case 'pathChallenge':
    case 'pathResponse':
      handlePathFrame(state, frame, packet);
      return;
    case 'handshakeDone':
      if (onHandshakeConfirmed(state, packet.now)) probePreferredAddress(state, packet.now);
      return;
    case 'ackFrequency':
    case 'immediateAck':
      onAckFrequency(state, packet.space, frame);
      return;
    case 'newToken':
      // Tokens for later connections are not kept: a redial shows its address by its first round trip.
      return;
    default:
      handleFlowFrame(state, frame);
      return;
  }
}

function handlePathFrame(
  state: ConnectionState,
  frame: Extract<
    Frame,
    { type: 'newConnectionId' | 'retireConnectionId' | 'pathChallenge' | 'pathResponse' }
  >,
  packet: PacketContext,
): void {
  switch (frame.type) {
    case 'newConnectionId':
      state.remoteIds.receive(
        frame.sequence,
        frame.retirePriorTo,
        frame.connectionId,
        frame.statelessResetToken,
      );
      return;
    case 'retireConnectionId':
      state.localIds.retire(
        frame.sequence,
        packet.destination,
        packet.now + LINGER_PTOS * state.recovery.ptoMs(),
      );
      return;
    case 'pathChallenge':
      packet.path.onChallenge(frame.data);
      return;
    case 'pathResponse':
      onPathResponse(state, frame.data, packet.now);
      if (state.isClient) moveToPreferredAddress(state, packet.now);
      return;
  }
}

/** A retired CID still reaches us this many probe timeouts, for packets that were on their way. */
const LINGER_PTOS = 3;

function handleFlowFrame(state: ConnectionState, frame: FlowFrame): void {
  const { streams } = state;
  switch (frame.type) {
    case 'resetStream':
      streams.onResetStream(frame.streamId, frame.code, frame.finalSize);
      return;
    case 'resetStreamAt':
      onResetStreamAt(state, frame);
      return;
    case 'stopSending':
      streams.onStopSending(frame.streamId, frame.code);
      return;
    case 'maxData':
      streams.onMaxData(frame.maximum);
      return;
    case 'maxStreamData':
      streams.onMaxStreamData(frame.streamId, frame.maximum);
      return;
    case 'maxStreams':
      streams.onMaxStreams(direction(frame.bidirectional), frame.maximum);
      return;
    case 'dataBlocked':
      streams.onDataBlocked(frame.limit);
      return;
    case 'streamDataBlocked':
      streams.onStreamDataBlocked(frame.streamId, frame.limit);
      return;
    case 'streamsBlocked':
      streams.onStreamsBlocked(direction(frame.bidirectional), frame.limit);
      return;
  }
}

function onResetStreamAt(state: ConnectionState, frame: ResetStreamAtFrame): void {
  // RFC 9000 §12.4: a type of an extension that we did not offer is unknown.
  if (!state.config.resetStreamAt)
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      'RESET_STREAM_AT came, which we did not offer',
      FrameType.RESET_STREAM_AT,
    );
  state.streams.onResetStream(frame.streamId, frame.code, frame.finalSize, frame.reliableSize);
}

/** The peer says how it wants to be acknowledged (draft-ietf-quic-ack-frequency). */
function onAckFrequency(
  state: ConnectionState,
  space: SpaceState,
  frame: AckFrequencyFrame | ImmediateAckFrame,
): void {
  const isPolicy = frame.type === 'ackFrequency';
  // RFC 9000 §12.4: as above.
  if (!state.config.ackFrequency)
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      'a frame about acknowledgements came, which we did not offer to take',
      isPolicy ? FrameType.ACK_FREQUENCY : FrameType.IMMEDIATE_ACK,
    );
  if (isPolicy) space.ack.setPolicy(policyOf(frame));
  else space.ack.requestNow();
}

function onDatagram(state: ConnectionState, frame: DatagramFrame): void {
  // RFC 9221 §3: more than we offered, or any when we offered none.
  if (frame.frameOctets > state.config.maxDatagramFrameSize)
    throw new TransportError(
      TransportErrorCode.PROTOCOL_VIOLATION,
      `DATAGRAM frame of ${frame.frameOctets} octets, we take ${state.config.maxDatagramFrameSize}`,
      FrameType.DATAGRAM,
    );
  state.events.pushDatagram(frame.data.slice());
}

function onConnectionClose(state: ConnectionState, frame: ConnectionCloseFrame, now: number): void {
  const { code, reason } = frame;
  // The reason is the peer's text: it goes into logs, so it is kept short.
  const text = reason.slice(0, MAX_REASON_CHARACTERS);
  state.close.startDraining(
    frame.application
      ? { kind: 'application', by: 'peer', code, reason: text }
      : { kind: 'transport', by: 'peer', code, frameType: frame.frameType, reason: text },
  );
  state.startCloseTimer(now);
  state.announceClosed(now);
}

const MAX_REASON_CHARACTERS = 1024;
