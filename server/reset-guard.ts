import type { Datagram } from '../proto/quic/index.ts';
import { type ClusterConfig, QuicLbDecoder } from '../proto/quic-lb/index.ts';

/**
 * Which CIDs without a connection the backend called `name` may answer with a Stateless Reset. All backends share the key of
 * reset tokens, so on the public port, where anyone chooses the backend, only CIDs of its own: for another's it would hand the
 * means to end a call to an observer that saw its CID pass (RFC 9000 §21.11). A forwarder takes CIDs to their owner, and elsewhere only
 * when that one is dead.
 */
export function resetGuard(
  clusterNow: () => ClusterConfig,
  name: string,
): (connectionId: Uint8Array, datagram: Datagram) => boolean {
  let cluster: ClusterConfig | undefined;
  let decoder: QuicLbDecoder | undefined;
  let own = -1;
  return (connectionId, { via }) => {
    if (via !== undefined) return true;
    if (decoder === undefined || cluster !== clusterNow()) {
      cluster = clusterNow();
      const { quicLb, backends } = cluster;
      const ids = backends.map(({ serverIds }) => serverIds);
      decoder = new QuicLbDecoder(quicLb, ids);
      own = backends.findIndex((backend) => backend.name === name);
    }
    return decoder.decode(connectionId, 0, connectionId.length, false) === own;
  };
}
