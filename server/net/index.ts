export { EndpointDriver } from './driver.ts';
export {
  openPublicSocket,
  openTunnelSocket,
  type PacketSocket,
  type RefusedPacket,
  type TunnelRules,
} from './packet-socket.ts';
