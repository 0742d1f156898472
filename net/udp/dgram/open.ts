import { isUnspecified, toEndpoint } from '../address.ts';
import type { UdpSocket, UdpSocketOptions } from '../udp-socket.ts';
import { bindDgram } from './socket.ts';
import { openWildcard } from './wildcard.ts';

/** Opens a socket of Node's, or on a wildcard address several. Rejects with `StartupError`, one sentence, when it cannot be bound. */
export async function openDgramSocket(options: UdpSocketOptions): Promise<UdpSocket> {
  const isWildcard = isUnspecified(toEndpoint(options.address.host, 0).octets, 0);
  return isWildcard ? openWildcard(options) : bindDgram(options, false);
}
