export { CallHosts, callHostOf } from './call-host.ts';
export { MAX_WORKERS, workerName } from './cluster-backends.ts';
export {
  type ClusterBackend,
  type ClusterConfig,
  type ClusterFile,
  type ClusterFileResult,
  clusterFileSchema,
  faultSentence,
  parseClusterFile,
} from './cluster-file.ts';
export {
  type HostAndPort,
  isHostName,
  isInNetwork,
  type Network,
  parseHostAndPort,
  parseNetwork,
} from './cluster-hosts.ts';
export { type SecretPlace, type SecretReader, secretPlace } from './cluster-secrets.ts';
export {
  createConnectionIdGenerator,
  decodeServerId,
  encodeConnectionId,
  type QuicLbGenerator,
} from './connection-id.ts';
export {
  QuicLbDecoder,
  ROTATIONS,
  type ServerIds,
  UNROUTABLE,
  type UnroutableReason,
  unroutableReason,
} from './decoder.ts';
export { NonceCounter } from './nonces.ts';
export {
  advanceRotation,
  type RotationPhase,
  type RotationStep,
  reuseFaults,
  rotationPhase,
} from './rotation.ts';
export { deriveTunnelKeys } from './tunnel-keys.ts';
export {
  awsNlbConfig,
  configFaults,
  connectionIdLength,
  type QuicLbConfig,
  UNROUTABLE_ROTATION,
} from './types.ts';
