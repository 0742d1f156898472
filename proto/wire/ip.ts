/**
 * IP addresses as 16 octets, whatever their family: an IPv4 address in its IPv4-mapped form (RFC 4291 §2.5.5.2).
 * Free of Node, and of allocation where a packet passes (`parseIpInto`).
 */

/** Octets of an address on the wire. */
export const IP_OCTETS = 16;

const DOT = 0x2e;
const COLON = 0x3a;

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** The value of a hex digit, or -1. */
function hexValue(code: number): number {
  if (isDigit(code)) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Parses the dotted quad at `text[from..to)` into `out[at..at+4)`. */
function parseQuad(text: string, from: number, to: number, out: Uint8Array, at: number): boolean {
  let field = 0;
  let value = 0;
  let digits = 0;
  for (let i = from; i <= to; i++) {
    const code = i < to ? text.charCodeAt(i) : DOT;
    if (code === DOT) {
      if (digits === 0 || field > 3) return false;
      out[at + field++] = value;
      value = 0;
      digits = 0;
    } else {
      if (!isDigit(code) || (digits > 0 && value === 0)) return false;
      value = value * 10 + code - 0x30;
      if (++digits > 3 || value > 255) return false;
    }
  }
  return field === 4;
}

/** Opens the gap that `::` left at `gap`, when `written` octets of the address were given. */
function spread(out: Uint8Array, base: number, gap: number, written: number): void {
  const tail = written - gap;
  out.copyWithin(base + IP_OCTETS - tail, base + gap, base + written);
  out.fill(0, base + gap, base + IP_OCTETS - tail);
}

/** Index after the run of at most four hex digits at `from`. */
function groupEnd(text: string, from: number, end: number): number {
  let at = from;
  while (at < end && at - from < 4 && hexValue(text.charCodeAt(at)) >= 0) at++;
  return at;
}

function groupValue(text: string, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) value = value * 16 + hexValue(text.charCodeAt(i));
  return value;
}

function parseIpv6(text: string, end: number, out: Uint8Array, base: number): boolean {
  let written = 0;
  let gap = -1;
  let at = 0;
  if (text.startsWith('::')) {
    gap = 0;
    at = 2;
  }
  while (at < end) {
    const to = groupEnd(text, at, end);
    if (to < end && text.charCodeAt(to) === DOT) {
      if (written > IP_OCTETS - 4 || !parseQuad(text, at, end, out, base + written)) return false;
      written += 4;
      break;
    }
    if (to === at || written >= IP_OCTETS) return false;
    const value = groupValue(text, at, to);
    out[base + written] = value >> 8;
    out[base + written + 1] = value & 0xff;
    written += 2;
    at = to;
    if (at === end) break;
    if (text.charCodeAt(at++) !== COLON || at === end) return false;
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return false;
      gap = written;
      at++;
    }
  }
  if (gap < 0) return written === IP_OCTETS;
  if (written > IP_OCTETS - 2) return false;
  spread(out, base, gap, written);
  return true;
}

/**
 * Parses an address into the 16 octets at `at`; IPv4 is written in its IPv4-mapped form, a zone (`%eth0`) is
 * skipped. Returns whether `text` is an address; if not, those 16 octets are undefined.
 */
export function parseIpInto(text: string, out: Uint8Array, at = 0): boolean {
  if (text.length > 64) return false;
  const colon = text.indexOf(':');
  if (colon < 0) {
    out.fill(0, at, at + 10);
    out[at + 10] = 0xff;
    out[at + 11] = 0xff;
    return parseQuad(text, 0, text.length, out, at + 12);
  }
  const zone = text.indexOf('%');
  return parseIpv6(text, zone < 0 ? text.length : zone, out, at);
}

/** An address as 16 octets of its own, or `undefined` when `text` is none. */
export function parseIp(text: string): Uint8Array | undefined {
  const out = new Uint8Array(IP_OCTETS);
  return parseIpInto(text, out) ? out : undefined;
}

/** Whether the 16 octets at `at` are an IPv4-mapped address. */
export function isIpv4Mapped(octets: Uint8Array, at = 0): boolean {
  for (let i = 0; i < 10; i++) if (octets[at + i] !== 0) return false;
  return octets[at + 10] === 0xff && octets[at + 11] === 0xff;
}

function group(octets: Uint8Array, at: number, index: number): number {
  return ((octets[at + index * 2] ?? 0) << 8) | (octets[at + index * 2 + 1] ?? 0);
}

/** The longest run of two or more zero groups, as [first, after last]; RFC 5952 §4.2. */
function longestZeroRun(octets: Uint8Array, at: number): [number, number] {
  let best: [number, number] = [-1, -1];
  let start = -1;
  for (let i = 0; i <= 8; i++) {
    if (i < 8 && group(octets, at, i) === 0) {
      if (start < 0) start = i;
      continue;
    }
    if (start >= 0 && i - start >= 2 && i - start > best[1] - best[0]) best = [start, i];
    start = -1;
  }
  return best;
}

/** The 16 octets at `at` as text: a dotted quad when IPv4-mapped, else IPv6 as RFC 5952 writes it. */
export function formatIp(octets: Uint8Array, at = 0): string {
  if (isIpv4Mapped(octets, at)) {
    return `${octets[at + 12]}.${octets[at + 13]}.${octets[at + 14]}.${octets[at + 15]}`;
  }
  const [zeroFrom, zeroTo] = longestZeroRun(octets, at);
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === zeroFrom) {
      text += '::';
      i = zeroTo - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += group(octets, at, i).toString(16);
  }
  return text;
}

const MAX_PORT = 0xffff;

/** `1.2.3.4:443` or `[2001:db8::1]:443` as host and port; `undefined` when it is neither. Names are not resolved. */
export function parseAddress(text: string): { readonly host: string; readonly port: number } | undefined {
  const colon = text.lastIndexOf(':');
  if (colon < 1) return undefined;
  const portText = text.slice(colon + 1);
  if (!/^\d{1,5}$/.test(portText) || Number(portText) > MAX_PORT) return undefined;
  const left = text.slice(0, colon);
  const bracketed = left.startsWith('[') && left.endsWith(']');
  const host = bracketed ? left.slice(1, -1) : left;
  if (host.includes(':') !== bracketed || parseIp(host) === undefined) return undefined;
  return { host, port: Number(portText) };
}

/** Octets of an IPv6 address that one customer is given: everything behind them is one client's to choose. */
const IPV6_NETWORK_OCTETS = 8;

/** What limits per address count by: an IPv4 address, or the /64 that an IPv6 address is in. Anything else stands for itself. */
export function networkOf(host: string): string {
  if (!host.includes(':')) return host;
  const octets = parseIp(host);
  if (octets === undefined) return host;
  if (isIpv4Mapped(octets)) return formatIp(octets);
  return `${formatIp(octets.fill(0, IPV6_NETWORK_OCTETS))}/64`;
}

/** `host:port`, with brackets around an IPv6 host. */
export function formatAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
