export { EndpointDriver } from './driver.ts';
export { openPublicSocket, openTunnelSocket, type PacketSocket, type TunnelRules } from './packet-socket.ts';
