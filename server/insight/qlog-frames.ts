import type { FlowFrame, Frame } from '../../proto/quic/index.ts';
import { toHex } from '../../proto/wire/index.ts';

/** A frame as qlog writes it (draft-ietf-quic-qlog-quic-events). Content of streams is never logged, only its place. */
export type QlogFrame = { readonly frame_type: string } & Readonly<Record<string, unknown>>;

const streamType = (bidirectional: boolean) => (bidirectional ? 'bidirectional' : 'unidirectional');

/** Turns a frame into its qlog form. `ackDelayExponent` is that of its sender. */
export function qlogFrame(frame: Frame, ackDelayExponent: number): QlogFrame {
  switch (frame.type) {
    case 'padding':
      return { frame_type: 'padding', length: frame.length };
    case 'ack':
      return {
        frame_type: 'ack',
        ack_delay: (frame.delay * 2 ** ackDelayExponent) / 1000,
        acked_ranges: frame.ranges.map(({ smallest, largest }) => [smallest, largest]),
        ...(frame.ecn && { ect0: frame.ecn.ect0, ect1: frame.ecn.ect1, ce: frame.ecn.ce }),
      };
    case 'crypto':
      return { frame_type: 'crypto', offset: frame.offset, length: frame.data.length };
    case 'stream':
      return {
        frame_type: 'stream',
        stream_id: frame.streamId,
        offset: frame.offset,
        length: frame.data.length,
        fin: frame.fin,
      };
    case 'datagram':
      return { frame_type: 'datagram', length: frame.data.length };
    case 'newToken':
      return { frame_type: 'new_token', token: { raw: { length: frame.token.length } } };
    case 'connectionClose':
      return {
        frame_type: 'connection_close',
        error_space: frame.application ? 'application' : 'transport',
        error_code: frame.code,
        reason: frame.reason,
      };
    case 'newConnectionId':
      // The reset token stays out of it: who reads the log must not be able to end the connection.
      return {
        frame_type: 'new_connection_id',
        sequence_number: frame.sequence,
        retire_prior_to: frame.retirePriorTo,
        connection_id: toHex(frame.connectionId),
      };
    case 'retireConnectionId':
      return { frame_type: 'retire_connection_id', sequence_number: frame.sequence };
    case 'ping':
      return { frame_type: 'ping' };
    case 'ackFrequency':
      return {
        frame_type: 'ack_frequency',
        sequence_number: frame.sequence,
        ack_eliciting_threshold: frame.threshold,
        requested_max_ack_delay: frame.maxAckDelayMicros / 1000,
        reordering_threshold: frame.reorderingThreshold,
      };
    case 'immediateAck':
      return { frame_type: 'immediate_ack' };
    case 'handshakeDone':
      return { frame_type: 'handshake_done' };
    case 'pathChallenge':
      return { frame_type: 'path_challenge', data: toHex(frame.data) };
    case 'pathResponse':
      return { frame_type: 'path_response', data: toHex(frame.data) };
    default:
      return flowFrame(frame);
  }
}

function flowFrame(frame: FlowFrame): QlogFrame {
  switch (frame.type) {
    case 'resetStream':
      return {
        frame_type: 'reset_stream',
        stream_id: frame.streamId,
        error_code: frame.code,
        final_size: frame.finalSize,
      };
    case 'resetStreamAt':
      return {
        frame_type: 'reset_stream_at',
        stream_id: frame.streamId,
        error_code: frame.code,
        final_size: frame.finalSize,
        reliable_size: frame.reliableSize,
      };
    case 'stopSending':
      return { frame_type: 'stop_sending', stream_id: frame.streamId, error_code: frame.code };
    case 'maxData':
      return { frame_type: 'max_data', maximum: frame.maximum };
    case 'maxStreamData':
      return { frame_type: 'max_stream_data', stream_id: frame.streamId, maximum: frame.maximum };
    case 'maxStreams':
      return {
        frame_type: 'max_streams',
        stream_type: streamType(frame.bidirectional),
        maximum: frame.maximum,
      };
    case 'dataBlocked':
      return { frame_type: 'data_blocked', limit: frame.limit };
    case 'streamDataBlocked':
      return { frame_type: 'stream_data_blocked', stream_id: frame.streamId, limit: frame.limit };
    case 'streamsBlocked':
      return {
        frame_type: 'streams_blocked',
        stream_type: streamType(frame.bidirectional),
        limit: frame.limit,
      };
  }
}
