import { createHash } from 'node:crypto';
import { toHex, type Writer } from '../wire/index.ts';
import { ExtensionType } from './extensions.ts';
import { resumptionBinder, resumptionPsk } from './key-schedule.ts';
import type { NewSessionTicket } from './messages.ts';
import type { SessionTicket, TlsClientOptions, TlsTrust } from './options.ts';
import { bindersLength, writePskModes, writePskOffer } from './pre-shared-key.ts';
import { type HashName, hashOctets, suiteParts } from './suites.ts';
import { MAX_TICKET_LIFETIME_SECONDS } from './tickets.ts';
import type { CipherSuite } from './types.ts';

/** Stands for a way to believe certificates: what one trusted must not be resumed under another. */
function trustIdOf(trust: TlsTrust): string {
  const hash = createHash('sha256').update(trust.kind);
  const items = trust.kind === 'ca' ? trust.certificates : trust.kind === 'hashes' ? trust.sha256 : [];
  for (const item of items) hash.update(createHash('sha256').update(item).digest());
  return toHex(hash.digest());
}

/** What a client does about session tickets: it offers one, and keeps new ones (RFC 8446 §4.2.11, §4.6.1). */
export class ClientResumption {
  readonly #options: TlsClientOptions;
  /** The session that is offered. */
  #session: SessionTicket | undefined;
  /** The certificate of this connection is good until then; that of the earlier one when it is resumed. */
  certificateEndsAtEpochMs = Number.POSITIVE_INFINITY;

  constructor(options: TlsClientOptions, cipherSuites: readonly CipherSuite[]) {
    this.#options = options;
    const { session } = options;
    if (session !== undefined && fits(session, options, cipherSuites)) this.#session = session;
  }

  /** The server asked for another ClientHello and chose a suite: a session of another hash is offered no more (RFC 8446 §4.1.4). */
  onRetry(suite: CipherSuite): void {
    if (this.#session !== undefined && hashOf(this.#session) !== suiteParts(suite).hash)
      this.#session = undefined;
  }

  /** Types of the extensions that `write` writes. */
  get extensionTypes(): readonly number[] {
    if (this.#session !== undefined)
      return [ExtensionType.PSK_KEY_EXCHANGE_MODES, ExtensionType.PRE_SHARED_KEY];
    return this.#options.onTicket === undefined ? [] : [ExtensionType.PSK_KEY_EXCHANGE_MODES];
  }

  /** The secret of the offered session, which the server has chosen; `undefined` when it does not go with the suite. */
  accept(suite: CipherSuite): Uint8Array | undefined {
    const session = this.#session;
    if (session === undefined || hashOf(session) !== suiteParts(suite).hash) return undefined;
    this.certificateEndsAtEpochMs = session.certificateEndsAtEpochMs;
    return session.psk;
  }

  /** The last extensions of a ClientHello. */
  write(writer: Writer): void {
    if (this.extensionTypes.length === 0) return;
    writePskModes(writer);
    if (this.#session === undefined) return;
    const { ticket, ageAdd, receivedAtEpochMs } = this.#session;
    const ageMs = Math.max(0, this.#options.nowEpochMs - receivedAtEpochMs);
    writePskOffer(writer, ticket, (ageMs + ageAdd) % 2 ** 32, hashOctets(hashOf(this.#session)));
  }

  /** Puts the binder into the finished ClientHello; `digestWith` hashes what was said before with what it is given. */
  bind(hello: Uint8Array, digestWith: (more: Uint8Array, hash: HashName) => Uint8Array): void {
    if (this.#session === undefined) return;
    const hash = hashOf(this.#session);
    const octets = hashOctets(hash);
    const covered = hello.subarray(0, hello.length - bindersLength(octets));
    const binder = resumptionBinder(this.#session.psk, digestWith(covered, hash), hash);
    hello.set(binder, hello.length - octets);
  }

  /** Gives a ticket to the owner. A lifetime of 0 means that it is to be let go (RFC 8446 §4.6.1). */
  keep(ticket: NewSessionTicket, resumptionMaster: Uint8Array, alpn: string, cipherSuite: CipherSuite): void {
    const { onTicket, serverName, nowEpochMs, trust } = this.#options;
    if (onTicket === undefined || ticket.lifetimeSeconds === 0) return;
    // RFC 8446 §4.6.1: not longer than seven days, whatever the server says.
    const lifetimeMs = Math.min(ticket.lifetimeSeconds, MAX_TICKET_LIFETIME_SECONDS) * 1000;
    onTicket({
      ticket: ticket.ticket.slice(),
      psk: resumptionPsk(resumptionMaster, ticket.nonce, suiteParts(cipherSuite).hash),
      serverName,
      alpn,
      cipherSuite,
      ageAdd: ticket.ageAdd,
      receivedAtEpochMs: nowEpochMs,
      expiresAtEpochMs: Math.min(nowEpochMs + lifetimeMs, this.certificateEndsAtEpochMs),
      certificateEndsAtEpochMs: this.certificateEndsAtEpochMs,
      trustId: trustIdOf(trust),
    });
  }
}

/** The hash that a session's secret goes with (RFC 8446 §4.2.11). */
function hashOf(session: SessionTicket): HashName {
  return suiteParts(session.cipherSuite).hash;
}

function fits(
  session: SessionTicket,
  options: TlsClientOptions,
  cipherSuites: readonly CipherSuite[],
): boolean {
  return (
    session.serverName === options.serverName &&
    options.alpnProtocols.includes(session.alpn) &&
    cipherSuites.includes(session.cipherSuite) &&
    options.nowEpochMs <= session.expiresAtEpochMs &&
    session.trustId === trustIdOf(options.trust)
  );
}
