import { createHash } from 'node:crypto';
import { createDevelopmentCertificate } from '../../certs/index.ts';
import type { Address } from '../../proto/quic/index.ts';
import type { ClusterConfig, QuicLbConfig } from '../../proto/quic-lb/index.ts';
import type { TlsCertificate, TlsTrust } from '../../proto/tls/index.ts';

/** Wall-clock time at which every run begins: the certificate is valid then. */
export const START_EPOCH_MS = Date.UTC(2026, 10, 21, 12);

const made = createDevelopmentCertificate({
  now: START_EPOCH_MS,
  algorithm: 'ed25519',
  seed: createHash('sha256').update('parley simulation').digest(),
});

/** Made once per process from a seed of its own: Ed25519 signatures are deterministic, so runs replay. */
export const CERTIFICATE: TlsCertificate = { chain: [made.der], privateKey: made.privateKey };
export const TRUST: TlsTrust = { kind: 'hashes', sha256: [made.sha256] };

export type CidAlgorithm = 'plaintext' | 'four passes' | 'one pass';

const SERVER_ID_OCTETS = 2;
/** With the server ID 16 octets: one pass of AES. Otherwise four. */
const NONCE_OCTETS: Readonly<Record<CidAlgorithm, number>> = {
  plaintext: 6,
  'four passes': 8,
  'one pass': 14,
};

function lbConfig(algorithm: CidAlgorithm, configRotation: number, key: Uint8Array): QuicLbConfig {
  const config = {
    configRotation,
    serverIdLength: SERVER_ID_OCTETS,
    nonceLength: NONCE_OCTETS[algorithm],
    firstOctetEncodesLength: true,
  };
  return algorithm === 'plaintext' ? config : { ...config, key };
}

export function backendAddress(index: number): Address {
  return { host: `10.2.0.${index + 1}`, port: 4433 };
}

export function tunnelAddress(index: number): Address {
  return { host: `10.2.0.${index + 1}`, port: 5001 };
}

export function forwarderAddress(index: number): Address {
  return { host: `10.1.0.${index + 1}`, port: 4433 };
}

/** What cluster.json would say: two configurations, so that backends can change from one to the other. */
export function makeCluster(
  backends: number,
  algorithm: CidAlgorithm,
  random: (octets: number) => Uint8Array,
): ClusterConfig {
  const quicLb = [0, 1].map((rotation) => lbConfig(algorithm, rotation, random(16)));
  return {
    quicLb,
    routingKey: random(32),
    statelessResetKey: random(32),
    ticketKey: random(32),
    backends: Array.from({ length: backends }, (_, index) => {
      const serverId = Uint8Array.of(0x5e, index + 1);
      return {
        name: `backend-${index + 1}`,
        serverId,
        serverIds: new Map(quicLb.map(({ configRotation }) => [configRotation, serverId])),
        tunnel: tunnelAddress(index),
      };
    }),
    forwarders: [],
    callHost: undefined,
    tunnelTag: 'require',
  };
}
