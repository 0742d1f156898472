export { CallHosts, callHostOf } from './call-host.ts';
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
  createConnectionIdGenerator,
  decodeServerId,
  encodeConnectionId,
  type QuicLbGenerator,
} from './connection-id.ts';
export {
  QuicLbDecoder,
  type ServerIds,
  UNROUTABLE,
  type UnroutableReason,
  unroutableReason,
} from './decoder.ts';
export { NonceCounter } from './nonces.ts';
export { deriveTunnelKeys } from './tunnel-keys.ts';
export {
  awsNlbConfig,
  configFaults,
  connectionIdLength,
  type QuicLbConfig,
  UNROUTABLE_ROTATION,
} from './types.ts';
