import type { TunnelTag } from '../../proto/spp/index.ts';

/** Of the cluster that is measured: both ends of the tunnel make tags with it, unless `PARLEY_TUNNEL_TAG` is off. */
export const ROUTING_KEY = new Uint8Array(32).fill(0x11);
export const TUNNEL_TAG: TunnelTag = process.env.PARLEY_TUNNEL_TAG === 'off' ? 'off' : 'require';
