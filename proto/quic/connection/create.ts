import { TlsClient, type TlsClientOptions, TlsServer, type TlsServerOptions } from '../../tls/index.ts';
import { UsageError } from '../errors.ts';
import type { PacketCiphers } from '../protection/index.ts';
import { encodeTransportParameters, type TransportParameters } from '../transport-parameters.ts';
import type { Address, Path, RandomSource } from '../types.ts';
import { DEFAULT_TRANSPORT_CONFIG, type TransportConfig } from './config.ts';
import { pumpTls } from './handshake/handshake.ts';
import { ConnectionKeys } from './handshake/keys.ts';
import { type ConnectionIdRegistry, LocalConnectionIds } from './ids/local-connection-ids.ts';
import { RemoteConnectionIds, type ResetTokenWatch } from './ids/remote-connection-ids.ts';
import { observing, type QuicObserver } from './observer.ts';
import { encodePreferredAddress, type PreferredAddresses } from './path/preferred-address.ts';
import { MIN_ACK_DELAY_MICROS } from './send/ack-frequency.ts';
import type { DatagramSlab } from './send/datagram-slab.ts';
import { ConnectionState } from './state.ts';

/** Octets of the Destination CID that a client makes up; at least 8 (RFC 9000 §7.2). */
const INITIAL_DESTINATION_OCTETS = 8;

interface CommonSetup {
  readonly config: TransportConfig;
  readonly random: RandomSource;
  readonly observer: QuicObserver;
  readonly owner: ConnectionIdRegistry & ResetTokenWatch;
  readonly path: Path;
  readonly via: Address | undefined;
  /** Our first CID, already mapped to the connection. */
  readonly localId: Uint8Array;
  readonly slab: DatagramSlab;
  /** Ciphers of Handshake and 1-RTT packets. Absent: `node:crypto`'s. */
  readonly ciphers?: PacketCiphers | undefined;
  readonly now: number;
}

export interface ClientSetup extends CommonSetup {
  readonly tls: Omit<TlsClientOptions, 'random' | 'transportParameters'>;
}

export interface ServerSetup extends CommonSetup {
  readonly tls: Omit<TlsServerOptions, 'random' | 'transportParameters'>;
  /** Keys that opened the client's first packet. */
  readonly keys: ConnectionKeys;
  readonly clientSourceId: Uint8Array;
  /** The Destination CID of the client's very first packet, before any Retry. */
  readonly originalDestination: Uint8Array;
  /** The Source CID of the Retry that the client's token names; its address is then proved. */
  readonly retrySourceId: Uint8Array | undefined;
  /** Where the client is to go after the handshake. */
  readonly preferredAddress?: PreferredAddresses | undefined;
}

/** The defaults with what the owner set, checked. Throws `UsageError` for what cannot work. */
export function transportConfig(...given: (Partial<TransportConfig> | undefined)[]): TransportConfig {
  const config: TransportConfig = Object.assign({}, DEFAULT_TRANSPORT_CONFIG, ...given);
  if (config.datagramSize < 1200 || config.datagramSize > 16_383)
    throw new UsageError(`datagramSize is ${config.datagramSize}; it must be 1200 to 16383 octets`);
  if (config.maxDatagramSize > 16_383)
    throw new UsageError(`maxDatagramSize is ${config.maxDatagramSize}; it must be at most 16383 octets`);
  if (config.activeConnectionIdLimit < 2)
    throw new UsageError(
      `activeConnectionIdLimit is ${config.activeConnectionIdLimit}; it must be at least 2`,
    );
  if (!(config.maxAckDelayMs >= 0 && config.maxAckDelayMs < 2 ** 14))
    throw new UsageError(`maxAckDelayMs is ${config.maxAckDelayMs}; it must be 0 to 16383 ms`);
  return config;
}

function localParameters(config: TransportConfig, sourceId: Uint8Array): Partial<TransportParameters> {
  return {
    maxIdleTimeoutMs: config.maxIdleTimeoutMs,
    initialMaxData: config.initialMaxData,
    initialMaxStreamDataBidiLocal: config.initialMaxStreamData,
    initialMaxStreamDataBidiRemote: config.initialMaxStreamData,
    initialMaxStreamDataUni: config.initialMaxStreamData,
    initialMaxStreamsBidi: config.initialMaxStreamsBidi,
    initialMaxStreamsUni: config.initialMaxStreamsUni,
    maxAckDelayMs: config.maxAckDelayMs,
    maxDatagramFrameSize: config.maxDatagramFrameSize,
    activeConnectionIdLimit: config.activeConnectionIdLimit,
    disableActiveMigration: config.disableActiveMigration,
    greaseQuicBit: config.greaseQuicBit,
    resetStreamAt: config.resetStreamAt,
    minAckDelayMicros:
      config.ackFrequency && config.maxAckDelayMs * 1000 >= MIN_ACK_DELAY_MICROS
        ? MIN_ACK_DELAY_MICROS
        : undefined,
    initialSourceConnectionId: sourceId,
  };
}

/** A client's connection, its first flight ready to be sent. */
export function createClient(setup: ClientSetup): ConnectionState {
  const { config, random, owner, localId, now } = setup;
  const destination = random(INITIAL_DESTINATION_OCTETS);
  const keys = new ConnectionKeys('client', setup.ciphers);
  keys.setInitial(destination);
  const state = new ConnectionState({
    role: 'client',
    config,
    random,
    observer: observing(setup.observer, 'client', destination, setup.path, now),
    registry: owner,
    path: setup.path,
    via: setup.via,
    pathValidated: true,
    localIds: new LocalConnectionIds(owner, localId),
    remoteIds: new RemoteConnectionIds(destination, config.activeConnectionIdLimit, owner),
    keys,
    originalDestination: destination,
    localSourceId: localId,
    slab: setup.slab,
    now,
  });
  const parameters = localParameters(config, localId);
  state.observer.parametersSet?.('local', parameters, now);
  const transportParameters = encodeTransportParameters(parameters, random);
  state.tls = new TlsClient({ ...setup.tls, random, transportParameters });
  pumpTls(state, now);
  return state;
}

/** A server's connection for a client whose first packet was authentic. That packet is still to be delivered. */
export function createServer(setup: ServerSetup): ConnectionState {
  const { config, random, owner, localId, retrySourceId, originalDestination } = setup;
  const state = new ConnectionState({
    role: 'server',
    config,
    random,
    observer: observing(setup.observer, 'server', originalDestination, setup.path, setup.now),
    registry: owner,
    path: setup.path,
    via: setup.via,
    pathValidated: retrySourceId !== undefined,
    localIds: new LocalConnectionIds(owner, localId),
    remoteIds: new RemoteConnectionIds(setup.clientSourceId, config.activeConnectionIdLimit, owner),
    keys: setup.keys,
    originalDestination,
    localSourceId: localId,
    slab: setup.slab,
    now: setup.now,
  });
  state.peerSourceId = setup.clientSourceId;
  state.retrySourceId = retrySourceId;
  const parameters: Partial<TransportParameters> = {
    ...localParameters(config, localId),
    originalDestinationConnectionId: originalDestination,
    retrySourceConnectionId: retrySourceId,
    statelessResetToken: owner.resetToken(localId),
    preferredAddress:
      setup.preferredAddress && encodePreferredAddress(setup.preferredAddress, state.localIds),
  };
  state.observer.parametersSet?.('local', parameters, setup.now);
  const transportParameters = encodeTransportParameters(parameters, random);
  state.tls = new TlsServer({ ...setup.tls, random, transportParameters });
  return state;
}
