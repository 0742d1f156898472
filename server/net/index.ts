export { EndpointDriver } from './driver.ts';
export { openPublicSocket, openTunnelSocket, type PacketSocket } from './packet-socket.ts';
