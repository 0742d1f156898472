import { hkdfSync } from 'node:crypto';
import { type SipKey, sipKey } from '../wire/index.ts';

const SIP_KEY_OCTETS = 16;

/**
 * The keys of the tags between forwarders and backends, one for each direction, from the routing key, which both have. HKDF
 * (RFC 5869) keeps them apart from what the routing key itself is used for.
 */
export function deriveTunnelKeys(routingKey: Uint8Array): {
  readonly toBackend: SipKey;
  readonly toForwarder: SipKey;
} {
  const derive = (label: string) =>
    sipKey(
      new Uint8Array(
        hkdfSync('sha256', routingKey, new Uint8Array(), `parley tunnel ${label}`, SIP_KEY_OCTETS),
      ),
    );
  return { toBackend: derive('to backend'), toForwarder: derive('to forwarder') };
}
