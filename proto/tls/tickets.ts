import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto';
import { Reader, WireError, Writer } from '../wire/index.ts';
import { hkdfExpandLabel, plain } from './hkdf.ts';
import type { TlsCertificate, TlsTicketOptions } from './options.ts';

const FORMAT = 3;
/** Octets of a SHA-256 hash, and of a key. */
const SHA256_OCTETS = 32;
const PERIOD_LENGTH = 4;
const SALT_LENGTH = 16;
const TAG_LENGTH = 16;
const HEAD_LENGTH = PERIOD_LENGTH + SALT_LENGTH;
/** Longest ticket that is looked at, in octets: ours are below 700, with the longest names. */
const MAX_TICKET_LENGTH = 1024;
/** RFC 8446 §4.6.1: at most seven days. */
export const MAX_TICKET_LIFETIME_SECONDS = 604_800;
const DEFAULT_LIFETIME_SECONDS = 86_400;
/** How far the clocks of two backends may be apart. */
const MAX_CLOCK_SKEW_SECONDS = 60;

/** What a ticket remembers in place of the server. */
export interface TicketState {
  /** As long as the hash of its cipher suite, which it goes with (RFC 8446 §4.2.11). */
  readonly psk: Uint8Array;
  /** SHA-256 of the leaf that the client saw: another certificate asks for another proof. */
  readonly certificate: Uint8Array;
  readonly alpn: string;
  /** Empty when the client sent none. */
  readonly serverName: string;
  /** When the certificate was shown, seconds since 1970; tickets of resumed sessions hand it on. */
  readonly authenticatedAtSeconds: number;
}

/**
 * Seals what a server would have to remember into tickets that it need not remember (RFC 8446 §4.6.1, RFC 5077 §4). Every
 * process that shares the secret opens them. The key changes each lifetime, by the time of day; those of the periods
 * before and after open too. Each ticket has a key of its own, so no nonce is ever used twice.
 */
export class TicketSealer {
  readonly #options: TlsTicketOptions;
  readonly lifetimeSeconds: number;

  constructor(options: TlsTicketOptions) {
    this.#options = options;
    const { lifetimeSeconds = DEFAULT_LIFETIME_SECONDS } = options;
    this.lifetimeSeconds = Math.min(MAX_TICKET_LIFETIME_SECONDS, Math.max(1, lifetimeSeconds));
  }

  nowSeconds(): number {
    return Math.floor(this.#options.nowEpochMs() / 1000);
  }

  #period(): number {
    return Math.floor(this.nowSeconds() / this.lifetimeSeconds);
  }

  seal(state: TicketState, random: (length: number) => Uint8Array): Uint8Array {
    const head = new Writer(new Uint8Array(HEAD_LENGTH))
      .u32(this.#period())
      .bytes(random(SALT_LENGTH))
      .finish();
    const body = Writer.growing(256)
      .u8(FORMAT)
      .u64(this.nowSeconds())
      .u64(state.authenticatedAtSeconds)
      .u8(state.psk.length)
      .bytes(state.psk)
      .bytes(state.certificate);
    for (const text of [state.alpn, state.serverName]) {
      const octets = new TextEncoder().encode(text);
      body.u16(octets.length).bytes(octets);
    }
    const { key, nonce } = this.#derive(head);
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(head);
    const sealed = cipher.update(body.finish());
    cipher.final();
    const out = new Writer(new Uint8Array(HEAD_LENGTH + sealed.length + TAG_LENGTH));
    return out.bytes(head).bytes(sealed).bytes(cipher.getAuthTag()).finish();
  }

  /** What a ticket says; `undefined` when it is not ours, too old, or of no format that is known. Never throws. */
  open(ticket: Uint8Array): TicketState | undefined {
    if (ticket.length < HEAD_LENGTH + TAG_LENGTH || ticket.length > MAX_TICKET_LENGTH) return undefined;
    const head = ticket.subarray(0, HEAD_LENGTH);
    const age = this.#period() - new Reader(head).u32();
    if (age < -1 || age > 1) return undefined;
    const { key, nonce } = this.#derive(head);
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_LENGTH });
    decipher.setAAD(head);
    decipher.setAuthTag(ticket.subarray(ticket.length - TAG_LENGTH));
    const body = decipher.update(ticket.subarray(HEAD_LENGTH, ticket.length - TAG_LENGTH));
    try {
      decipher.final();
      return this.#read(new Reader(plain(body)));
    } catch {
      return undefined;
    }
  }

  #read(reader: Reader): TicketState | undefined {
    if (reader.u8() !== FORMAT) throw new WireError('a ticket of another format');
    const now = this.nowSeconds();
    const age = now - reader.u64();
    if (age < -MAX_CLOCK_SKEW_SECONDS || age > this.lifetimeSeconds) return undefined;
    // RFC 8446 §4.6.1: resumptions do not put off without end the proof that the server holds its certificate's key.
    const authenticatedAtSeconds = reader.u64();
    if (now - authenticatedAtSeconds > MAX_TICKET_LIFETIME_SECONDS) return undefined;
    const psk = reader.bytes(reader.u8()).slice();
    const certificate = reader.bytes(SHA256_OCTETS).slice();
    const alpn = reader.utf8(reader.u16());
    const serverName = reader.utf8(reader.u16());
    return { psk, certificate, alpn, serverName, authenticatedAtSeconds };
  }

  /** Key and nonce of one ticket, from the key of its period and its salt. */
  #derive(head: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
    const period = head.subarray(0, PERIOD_LENGTH);
    const periodKey = hkdfExpandLabel(this.#options.secret, 'parley ticket', period, SHA256_OCTETS);
    const one = createHmac('sha256', periodKey).update('key').update(head).digest();
    const two = createHmac('sha256', periodKey).update('nonce').update(head).digest();
    return { key: one, nonce: two.subarray(0, 12) };
  }
}

/** What a ticket is bound to of a certificate. */
export function certificateHash(certificate: TlsCertificate): Uint8Array {
  const leaf = certificate.chain[0] ?? new Uint8Array(0);
  return plain(createHash('sha256').update(leaf).digest());
}
