export {
  decodeProxyHeader,
  encodeProxyHeader,
  MAX_PROXY_HEADER_OCTETS,
  type ProxyFault,
  type ProxyHeader,
  type ProxyResult,
} from './proxy-protocol.ts';
