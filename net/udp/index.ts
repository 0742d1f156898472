export { type Address, type Endpoint, isHost, isIpv6, isUnspecified, toEndpoint } from './address.ts';
export { chooseSockets, SOCKET_KINDS, type SocketChoice } from './choose.ts';
export { BATCH_PACKETS, MAX_DATAGRAM_OCTETS, PacketBatch } from './packet-batch.ts';
export { SEND_FAILURES, type SendFailure, type UdpSocket, type UdpSocketOptions } from './udp-socket.ts';
