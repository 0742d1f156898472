import type { ConnectionIdGenerator, RandomSource, SteeringOptions } from '../proto/quic/index.ts';
import {
  type CallHosts,
  type ClusterBackend,
  createConnectionIdGenerator,
  type QuicLbConfig,
} from '../proto/quic-lb/index.ts';
import { nameOf } from './connection-ids.ts';

/** First packets in a second whose server name is read: with a fifth of a millisecond each, a twentieth of the processor. */
const PEEKS_PER_SECOND = 256;

/**
 * Sends callers who ask for another backend to it: by CIDs made with its server ID, which every forwarder routes there. The nonces of
 * such CIDs start at random: that one is in use at the owner has the chance of two random nonces being the same.
 */
export function steerTo(
  configNow: () => QuicLbConfig,
  ownName: string,
  callHosts: () => CallHosts,
  random: RandomSource,
): SteeringOptions {
  /** By configuration and server ID: a nonce must not come twice, so a generator is kept even when its backend leaves the cluster for a while. */
  const generators = new Map<string, ConnectionIdGenerator>();
  const generatorOf = ({ name, serverIds }: ClusterBackend): ConnectionIdGenerator | undefined => {
    if (name === ownName) return undefined;
    const config = configNow();
    const serverId = serverIds.get(config.configRotation);
    if (serverId?.length !== config.serverIdLength) return undefined;
    const id = nameOf(config, serverId);
    let generator = generators.get(id);
    if (generator === undefined) {
      generator = createConnectionIdGenerator(config, serverId, random);
      generators.set(id, generator);
    }
    return generator;
  };
  return {
    peeksPerSecond: PEEKS_PER_SECOND,
    ownerOf: (serverName) => {
      const owner = callHosts().find(serverName);
      return owner && generatorOf(owner);
    },
  };
}
