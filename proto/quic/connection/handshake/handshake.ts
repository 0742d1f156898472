import type { CryptoLevel, TlsEvent } from '../../../tls/index.ts';
import { equalOctets } from '../../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../../errors.ts';
import { PacketSpace } from '../../recovery/index.ts';
import { decodeTransportParameters } from '../../transport-parameters.ts';
import { validateAfterHandshake } from '../path/migration.ts';
import { applyDatagramSize } from '../path/mtu-probes.ts';
import type { SpaceState } from '../space-state.ts';
import type { ConnectionState } from '../state.ts';

function spaceOf(state: ConnectionState, level: CryptoLevel): SpaceState {
  if (level === 'initial') return state.spaces[0];
  return level === 'handshake' ? state.spaces[1] : state.spaces[2];
}

/** Gives TLS the handshake octets of a CRYPTO frame and does what it says. */
export function onCryptoFrame(
  state: ConnectionState,
  space: SpaceState,
  offset: number,
  data: Uint8Array,
  now: number,
): void {
  const level: CryptoLevel = space.name;
  for (const piece of space.cryptoIn.receive(offset, data)) state.tls!.receive(level, piece);
  pumpTls(state, now);
}

/** Carries out everything TLS has to say. */
export function pumpTls(state: ConnectionState, now: number): void {
  for (let event = state.tls!.poll(); event !== undefined; event = state.tls!.poll())
    onTlsEvent(state, event, now);
  announceWritable(state);
}

function onTlsEvent(state: ConnectionState, event: TlsEvent, now: number): void {
  switch (event.type) {
    case 'send':
      spaceOf(state, event.level).cryptoOut.write(event.data);
      return;
    case 'secrets':
      if (event.level === 'handshake') {
        state.spaces[0].cryptoIn.finish();
        state.keys.setHandshake(event.cipherSuite, event.clientSecret, event.serverSecret);
        state.recovery.setHandshakeKeys();
        return;
      }
      // A server reads on under its Handshake keys: there the client's Finished comes yet.
      if (state.isClient) state.spaces[1].cryptoIn.finish();
      state.keys.setApplication(event.cipherSuite, event.clientSecret, event.serverSecret);
      return;
    case 'transportParameters':
      onPeerParameters(state, event.data, now);
      return;
    case 'complete':
      if (!state.isClient) state.spaces[1].cryptoIn.finish();
      onComplete(state, event, now);
      return;
  }
}

function parameterError(reason: string): TransportError {
  return new TransportError(TransportErrorCode.TRANSPORT_PARAMETER_ERROR, reason);
}

function mustEqual(name: string, got: Uint8Array | undefined, wanted: Uint8Array | undefined): void {
  if (got === undefined && wanted === undefined) return;
  if (got === undefined || wanted === undefined || !equalOctets(got, wanted))
    throw parameterError(`${name} is not the connection ID that was used (RFC 9000 §7.3)`);
}

function onPeerParameters(state: ConnectionState, data: Uint8Array, now: number): void {
  const parameters = decodeTransportParameters(data, state.isClient ? 'server' : 'client');
  state.observer.parametersSet?.('remote', parameters, now);
  mustEqual('initial_source_connection_id', parameters.initialSourceConnectionId, state.peerSourceId);
  if (state.isClient) {
    mustEqual(
      'original_destination_connection_id',
      parameters.originalDestinationConnectionId,
      state.originalDestination,
    );
    mustEqual('retry_source_connection_id', parameters.retrySourceConnectionId, state.retrySourceId);
    const { preferredAddress } = parameters;
    // RFC 9000 §5.1.1: its CID has the sequence number 1.
    if (preferredAddress)
      state.remoteIds.receive(1, 0, preferredAddress.connectionId, preferredAddress.statelessResetToken);
    if (parameters.statelessResetToken) state.remoteIds.setFirstToken(parameters.statelessResetToken);
  }
  state.peerParameters = parameters;
  state.streams.setPeerLimits({
    initialMaxData: parameters.initialMaxData,
    initialMaxStreamDataBidiLocal: parameters.initialMaxStreamDataBidiLocal,
    initialMaxStreamDataBidiRemote: parameters.initialMaxStreamDataBidiRemote,
    initialMaxStreamDataUni: parameters.initialMaxStreamDataUni,
    initialMaxStreamsBidi: parameters.initialMaxStreamsBidi,
    initialMaxStreamsUni: parameters.initialMaxStreamsUni,
    resetStreamAt: parameters.resetStreamAt,
  });
  state.idle.setPeerTimeout(parameters.maxIdleTimeoutMs);
  state.recovery.setPeerMaxAckDelay(parameters.maxAckDelayMs);
  if (state.config.ackFrequency && parameters.minAckDelayMicros !== undefined)
    state.ackRequest.offer(parameters.maxAckDelayMs);
  state.mtu.limitTo(parameters.maxUdpPayloadSize);
  applyDatagramSize(state);
}

/**
 * Streams may be written once the peer's limits are known and there are keys to send with: on a server before the
 * client's Finished (0.5-RTT), on a client when the handshake is complete and so the server is authenticated.
 */
function announceWritable(state: ConnectionState): void {
  if (state.keys.application === undefined || state.peerParameters === undefined) return;
  if (state.isClient && !state.handshake.complete) return;
  if (state.handshake.setWritable()) state.events.push({ type: 'writable' });
}

function onComplete(
  state: ConnectionState,
  { alpn, serverName, resumed }: Extract<TlsEvent, { type: 'complete' }>,
  now: number,
): void {
  if (state.peerParameters === undefined)
    throw new TransportError(
      TransportErrorCode.CRYPTO_ERROR + MISSING_EXTENSION,
      'peer sent no quic_transport_parameters (RFC 9001 §8.2)',
    );
  const handshakeMs = state.handshake.setComplete(resumed, now, serverName);
  announceWritable(state);
  state.events.push({ type: 'connected', alpn, serverName, handshakeMs });
  state.localIds.issueUpTo(state.peerParameters.activeConnectionIdLimit);
  if (!state.isClient) {
    // RFC 9001 §4.1.2: a server confirms at once and tells the client, which also acknowledges its Finished.
    state.handshake.queueDone();
    onHandshakeConfirmed(state, now);
    validateAfterHandshake(state, now);
  }
}

/** TLS alert missing_extension (RFC 8446 §6). */
const MISSING_EXTENSION = 109;

/** HANDSHAKE_DONE at a client, completion at a server: the Handshake keys have done their work (RFC 9001 §4.9.2). False when nothing changed. */
export function onHandshakeConfirmed(state: ConnectionState, now: number): boolean {
  if (!state.handshake.setConfirmed()) return false;
  state.recovery.setPeerCompletedAddressValidation();
  state.recovery.setHandshakeConfirmed(now);
  discardInitial(state, now);
  if (!state.keys.handshakeDiscarded) {
    state.keys.discardHandshake();
    discardSpace(state, PacketSpace.HANDSHAKE, now);
  }
  state.events.push({ type: 'handshakeConfirmed' });
  if (!state.isClient) state.registry.handshakeDone();
  return true;
}

/** RFC 9001 §4.9.1: a client on its first Handshake packet sent, a server on its first one received. */
export function discardInitial(state: ConnectionState, now: number): void {
  if (state.keys.initialDiscarded) return;
  state.keys.discardInitial();
  discardSpace(state, PacketSpace.INITIAL, now);
}

/** Forgets what a space without keys has sent and was sent: nothing of it can be acknowledged or sent again. */
function discardSpace(state: ConnectionState, id: PacketSpace, now: number): void {
  state.recovery.discardSpace(id, now);
  state.spaces[id].discard();
}
