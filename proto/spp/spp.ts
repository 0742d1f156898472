import { concat, formatIp, IP_OCTETS, parseIpInto, Reader } from '../wire/index.ts';

/** First two octets of every SPP datagram. */
export const SPP_MAGIC = 0x56ec;
/** Octets of the header: magic 2, client address 16, proxy address 16, client port 2, proxy port 2. */
export const SPP_HEADER_OCTETS = 38;
/** Where the client's address and port lie in a header, and those of the proxy, which are what the client called. */
export const SPP_CLIENT_AT = 2;
export const SPP_CLIENT_PORT_AT = 34;
export const SPP_PROXY_AT = 18;
export const SPP_PROXY_PORT_AT = 36;

/** What the header says: whose packet it is, and the forwarder's address that the client called and is answered from. */
export interface SppHeader {
  readonly clientHost: string;
  readonly clientPort: number;
  readonly proxyHost: string;
  readonly proxyPort: number;
}

interface Endpoint {
  readonly host: string;
  readonly port: number;
}

const MAX_PORT = 0xffff;

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= MAX_PORT;
}

/**
 * Writes the 38 octets of a header to `out` at `at`, allocating nothing. Returns false when an address is not an IP
 * address, a port no port, or the header does not fit; `out` is then undefined in that place.
 */
export function writeSppHeader(out: Uint8Array, client: Endpoint, proxy: Endpoint, at = 0): boolean {
  if (out.length - at < SPP_HEADER_OCTETS || !isPort(client.port) || !isPort(proxy.port)) return false;
  out[at] = SPP_MAGIC >> 8;
  out[at + 1] = SPP_MAGIC & 0xff;
  if (!parseIpInto(client.host, out, at + 2)) return false;
  if (!parseIpInto(proxy.host, out, at + 2 + IP_OCTETS)) return false;
  out[at + 34] = client.port >> 8;
  out[at + 35] = client.port & 0xff;
  out[at + 36] = proxy.port >> 8;
  out[at + 37] = proxy.port & 0xff;
  return true;
}

/**
 * Writes a header to `out` at `at` from addresses that are 16 octets already (IPv4 as IPv4-mapped). For those who
 * move packets by the hundred thousand: there must be room, and ports must be ports.
 */
export function putSppHeader(
  out: Uint8Array,
  at: number,
  client: Uint8Array,
  clientAt: number,
  clientPort: number,
  proxy: Uint8Array,
  proxyAt: number,
  proxyPort: number,
): void {
  out[at] = SPP_MAGIC >> 8;
  out[at + 1] = SPP_MAGIC & 0xff;
  for (let i = 0; i < IP_OCTETS; i++) {
    out[at + 2 + i] = client[clientAt + i] as number;
    out[at + 18 + i] = proxy[proxyAt + i] as number;
  }
  out[at + 34] = clientPort >> 8;
  out[at + 35] = clientPort & 0xff;
  out[at + 36] = proxyPort >> 8;
  out[at + 37] = proxyPort & 0xff;
}

/** Whether `data[from..to)` begins with a header. */
export function startsWithSpp(data: Uint8Array, from = 0, to = data.length): boolean {
  return (
    to - from >= SPP_HEADER_OCTETS && data[from] === SPP_MAGIC >> 8 && data[from + 1] === (SPP_MAGIC & 0xff)
  );
}

/** A whole SPP datagram: header and payload. Throws `TypeError` when an address or port of `header` is none. */
export function encodeSpp(header: SppHeader, payload: Uint8Array): Uint8Array {
  const octets = new Uint8Array(SPP_HEADER_OCTETS);
  const client = { host: header.clientHost, port: header.clientPort };
  const proxy = { host: header.proxyHost, port: header.proxyPort };
  if (!writeSppHeader(octets, client, proxy)) {
    throw new TypeError(
      `SPP needs IP addresses and ports, not ${client.host} ${client.port} and ${proxy.host} ${proxy.port}`,
    );
  }
  return concat([octets, payload]);
}

/** Reads a datagram; `payload` is a view into it. `undefined` when it is too short or the magic is missing. */
export function decodeSpp(
  datagram: Uint8Array,
): { readonly header: SppHeader; readonly payload: Uint8Array } | undefined {
  if (!startsWithSpp(datagram)) return undefined;
  const reader = new Reader(datagram);
  reader.u16();
  const clientHost = formatIp(reader.bytes(IP_OCTETS));
  const proxyHost = formatIp(reader.bytes(IP_OCTETS));
  const clientPort = reader.u16();
  const proxyPort = reader.u16();
  return { header: { clientHost, clientPort, proxyHost, proxyPort }, payload: reader.rest() };
}
