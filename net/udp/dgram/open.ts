import { formatAddress } from '../../../proto/wire/index.ts';
import { StartupError } from '../../startup.ts';
import { isUnspecified, toEndpoint } from '../address.ts';
import type { UdpSocket, UdpSocketOptions } from '../udp-socket.ts';
import { bindDgram } from './socket.ts';
import { openWildcard } from './wildcard.ts';

/** Opens a socket of Node's, or on a wildcard address several. Rejects with `StartupError`, one sentence, when it cannot be bound. */
export async function openDgramSocket(options: UdpSocketOptions): Promise<UdpSocket> {
  if (options.reusePort === true && options.descriptor === undefined)
    throw new StartupError(
      `Workers share udp ${formatAddress(options.address)} by SO_REUSEPORT, which dgram sockets do not have here; run one worker, have the socket handed over (LISTEN_FDS), or use batched sockets.`,
    );
  const isWildcard = isUnspecified(toEndpoint(options.address.host, 0).octets, 0);
  return isWildcard ? openWildcard(options) : bindDgram(options, false);
}
