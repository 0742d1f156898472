import { StartupError } from '../startup.ts';
import { loadSystemCalls } from './batched/libc.ts';
import { openBatchedSocket } from './batched/socket.ts';
import { openDgramSocket } from './dgram/open.ts';
import type { UdpSocket, UdpSocketOptions } from './udp-socket.ts';

/** How the UDP sockets work: batched system calls, Node's `dgram`, or the former where it can be had. */
export const SOCKET_KINDS = ['auto', 'batched', 'dgram'] as const;
export type SocketSetting = (typeof SOCKET_KINDS)[number];

/** How sockets are opened from now on, and why so, for the log. */
export interface SocketChoice {
  readonly kind: 'batched' | 'dgram';
  readonly why: string;
  open(options: UdpSocketOptions): Promise<UdpSocket>;
}

/** Settles on one kind of socket. Throws `StartupError` when batched ones are demanded and cannot be had. */
export function chooseSockets(setting: SocketSetting): SocketChoice {
  const dgram = (why: string): SocketChoice => ({ kind: 'dgram', why, open: openDgramSocket });
  if (setting === 'dgram') return dgram('the configuration says so');
  const loaded = loadSystemCalls();
  if (loaded.ok) {
    const open = (options: UdpSocketOptions) => openBatchedSocket(loaded.calls, options);
    return { kind: 'batched', why: 'recvmmsg and sendmmsg can be called', open };
  }
  if (setting === 'auto') return dgram(loaded.why);
  throw new StartupError(
    `socket is "batched", but ${loaded.why}; mend that, or set it to "auto" or "dgram", which need more CPU per packet.`,
  );
}
