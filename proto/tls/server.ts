import { timingSafeEqual } from 'node:crypto';
import { equalOctets, Reader } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import { type Offer, readOffer } from './client-hello.ts';
import { extension, type HandshakeMessage, HandshakeType } from './codec.ts';
import { ExtensionType, type KeyShareEntry, TLS13, writeAlpn, writeKeyShare } from './extensions.ts';
import { chooseIdentity, type Identity } from './identity.ts';
import { generateKeyShare } from './key-exchange.ts';
import { resumptionBinder, resumptionPsk } from './key-schedule.ts';
import {
  HELLO_RETRY_RANDOM,
  RANDOM_LENGTH,
  readClientHello,
  writeCertificate,
  writeCertificateVerify,
  writeEncryptedExtensions,
  writeNewSessionTicket,
  writeServerHello,
} from './messages.ts';
import type { NamedGroup, TlsServerOptions } from './options.ts';
import { HandshakeSession, unexpected } from './session.ts';
import { signTranscript } from './signatures.ts';
import { hashOctets, suiteParts } from './suites.ts';
import { certificateHash, TicketSealer } from './tickets.ts';
import type { CipherSuite } from './types.ts';

type State = 'clientHello' | 'secondClientHello' | 'finished' | 'complete';

/** What was chosen from a ClientHello. */
interface Choice {
  readonly offer: Offer;
  readonly cipherSuite: CipherSuite;
  readonly group: NamedGroup;
  readonly alpn: string;
  readonly identity: Identity;
  readonly transportParameters: Uint8Array;
}

/** A session that is taken up again: which of the offered tickets, and its secret. */
interface Resumption {
  readonly index: number;
  readonly psk: Uint8Array;
  readonly authenticatedAtSeconds: number;
}

/** Tickets of one ClientHello that are tried to open, so that a long list costs no time. */
const MAX_TICKETS_TRIED = 4;
const TICKET_NONCE_LENGTH = 8;

/** The server's half of a TLS 1.3 handshake for QUIC (RFC 8446 §2, RFC 9001 §4). */
export class TlsServer extends HandshakeSession {
  /** Until the handshake is complete: with the transport parameters, an idle connection need not keep them. */
  #options: TlsServerOptions | undefined;
  #state: State = 'clientHello';
  #choice: Choice | undefined;
  readonly #tickets: TicketSealer | undefined;
  #resumption: Resumption | undefined;

  constructor(options: TlsServerOptions) {
    super(options);
    this.#options = options;
    this.#tickets = options.tickets && new TicketSealer(options.tickets);
  }

  #handshakeOptions(): TlsServerOptions {
    if (this.#options === undefined) fail(Alert.INTERNAL_ERROR, 'the handshake is complete');
    return this.#options;
  }

  protected override handle(message: HandshakeMessage): void {
    switch (this.#state) {
      case 'clientHello':
      case 'secondClientHello':
        if (message.type !== HandshakeType.CLIENT_HELLO) unexpected(message, 'ClientHello');
        this.#onClientHello(message);
        break;
      case 'finished':
        if (message.type !== HandshakeType.FINISHED) unexpected(message, 'Finished');
        this.#onFinished(message);
        break;
      case 'complete':
        // A client has nothing to say after its Finished: we ask for no certificate (RFC 8446 §4.6).
        unexpected(message, 'nothing');
    }
  }

  #onClientHello(message: HandshakeMessage): void {
    const choice = this.#choose(readOffer(readClientHello(message)));
    const retried = this.#choice;
    if (retried !== undefined) checkSecondOffer(retried, choice);
    this.chooseSuite(choice.cipherSuite);
    const share = choice.offer.keyShares.find((entry) => entry.group === choice.group);
    // Before the ClientHello is taken in: a binder covers only its beginning.
    if (share !== undefined) this.#resumption = this.#resume(choice, message.raw);
    this.transcript.add(message.raw);
    this.#choice = choice;
    if (share === undefined) {
      this.#retry(choice);
      return;
    }
    this.expectLevel('handshake');
    this.#answer(choice, share);
  }

  #choose(offer: Offer): Choice {
    const transportParameters = this.transportParametersOf(offer.extensions);
    const cipherSuite = this.cipherSuites.find((suite) => offer.cipherSuites.includes(suite));
    if (cipherSuite === undefined) fail(Alert.HANDSHAKE_FAILURE, 'no cipher suite in common');
    const common = this.groups.filter((group) => offer.groups.includes(group));
    // A group whose share is here saves a round trip, so it goes before a group that we like better.
    const shared = common.find((group) => offer.keyShares.some((entry) => entry.group === group));
    const group = shared ?? common[0];
    if (group === undefined) fail(Alert.HANDSHAKE_FAILURE, 'no key exchange group in common');
    const alpn = this.#handshakeOptions().alpnProtocols.find((protocol) => offer.alpn.includes(protocol));
    if (alpn === undefined) fail(Alert.NO_APPLICATION_PROTOCOL, 'no application protocol in common');
    const identity = chooseIdentity(
      this.#handshakeOptions().certificates,
      offer.serverName,
      offer.signatureSchemes,
    );
    if (identity === undefined) {
      fail(Alert.HANDSHAKE_FAILURE, 'no certificate whose signature the client accepts');
    }
    return { offer, cipherSuite, group, alpn, identity, transportParameters };
  }

  /**
   * The first ticket offered that is ours and fits what was chosen; `undefined` asks for a full handshake. What fits but
   * has a wrong binder ends the handshake (RFC 8446 §4.2.11).
   */
  #resume(choice: Choice, hello: Uint8Array): Resumption | undefined {
    const { psk: offered, resumes, serverName = '' } = choice.offer;
    if (this.#tickets === undefined || offered === undefined || !resumes) return undefined;
    const { hash } = suiteParts(choice.cipherSuite);
    const count = Math.min(offered.identities.length, MAX_TICKETS_TRIED);
    for (let index = 0; index < count; index++) {
      const state = this.#tickets.open(offered.identities[index]!);
      if (state === undefined || state.alpn !== choice.alpn || state.serverName !== serverName) continue;
      // RFC 8446 §4.2.11: a secret goes with the hash that it was made with.
      if (state.psk.length !== hashOctets(hash)) continue;
      if (!equalOctets(state.certificate, certificateHash(choice.identity.certificate))) continue;
      const covered = hello.subarray(0, hello.length - offered.bindersLength);
      const expected = resumptionBinder(state.psk, this.transcript.digestWith(covered, hash), hash);
      const binder = offered.binders[index]!;
      if (binder.length !== expected.length || !timingSafeEqual(binder, expected))
        fail(Alert.DECRYPT_ERROR, 'a PSK binder does not match its ClientHello');
      return { index, psk: state.psk, authenticatedAtSeconds: state.authenticatedAtSeconds };
    }
    return undefined;
  }

  /** HelloRetryRequest (RFC 8446 §4.1.4), without a cookie: this connection keeps its state. */
  #retry(choice: Choice): void {
    this.transcript.retry();
    this.#state = 'secondClientHello';
    const retry = writeServerHello(HELLO_RETRY_RANDOM, choice.cipherSuite, (w) => {
      extension(w, ExtensionType.SUPPORTED_VERSIONS, (e) => e.u16(TLS13));
      extension(w, ExtensionType.KEY_SHARE, (e) => e.u16(choice.group));
    });
    this.send('initial', retry);
  }

  #answer(choice: Choice, peerShare: KeyShareEntry): void {
    const { offer, cipherSuite, alpn, identity } = choice;
    const { random, transportParameters } = this.#handshakeOptions();
    const resumption = this.#resumption;
    const share = generateKeyShare(choice.group, random);
    const sharedSecret = share.sharedSecret(peerShare.key);
    const serverHello = writeServerHello(random(RANDOM_LENGTH), cipherSuite, (w) => {
      extension(w, ExtensionType.SUPPORTED_VERSIONS, (e) => e.u16(TLS13));
      extension(w, ExtensionType.KEY_SHARE, (e) => writeKeyShare(e, share));
      if (resumption) extension(w, ExtensionType.PRE_SHARED_KEY, (e) => e.u16(resumption.index));
    });
    this.send('initial', serverHello);
    this.startHandshakeKeys(cipherSuite, sharedSecret, offer.random, resumption?.psk);
    this.emit({ type: 'transportParameters', data: choice.transportParameters });
    const encryptedExtensions = writeEncryptedExtensions((w) => {
      // RFC 6066 §3: an empty server_name says that the name was used.
      if (identity.nameMatches && !resumption) extension(w, ExtensionType.SERVER_NAME, () => {});
      writeAlpn(w, [alpn]);
      extension(w, ExtensionType.QUIC_TRANSPORT_PARAMETERS, (e) => e.bytes(transportParameters));
    });
    this.send('handshake', encryptedExtensions);
    // RFC 8446 §4.4.2: the PSK authenticates a resumed session; no certificate is shown.
    if (!resumption) this.#sendCertificate(identity);
    this.sendFinished('server');
    this.startApplicationKeys(cipherSuite, offer.random);
    this.#state = 'finished';
  }

  #sendCertificate({ scheme, certificate }: Identity): void {
    this.send('handshake', writeCertificate(new Uint8Array(0), certificate.chain));
    const signature = signTranscript(scheme, certificate.privateKey, this.transcript.digest());
    this.send('handshake', writeCertificateVerify(scheme, signature));
  }

  /** One ticket for a client that can use it (RFC 8446 §4.6.1). */
  #sendTicket({ offer, alpn, identity, cipherSuite }: Choice): void {
    const master = this.takeResumptionMaster();
    if (this.#tickets === undefined || !offer.resumes) return;
    const { random } = this.#handshakeOptions();
    const nonce = random(TICKET_NONCE_LENGTH);
    const ticket = this.#tickets.seal(
      {
        psk: resumptionPsk(master, nonce, suiteParts(cipherSuite).hash),
        certificate: certificateHash(identity.certificate),
        alpn,
        serverName: offer.serverName ?? '',
        authenticatedAtSeconds: this.#resumption?.authenticatedAtSeconds ?? this.#tickets.nowSeconds(),
      },
      random,
    );
    const ageAdd = new Reader(random(4)).u32();
    const message = writeNewSessionTicket(this.#tickets.lifetimeSeconds, ageAdd, nonce, ticket);
    this.emit({ type: 'send', level: 'application', data: message });
  }

  #onFinished(message: HandshakeMessage): void {
    this.checkFinished('client', message);
    this.expectLevel('application');
    this.#state = 'complete';
    const choice = this.#choice;
    if (choice === undefined) fail(Alert.INTERNAL_ERROR, 'Finished without ClientHello');
    // The offer holds on to the whole ClientHello; an idle connection need not.
    this.#choice = undefined;
    this.#sendTicket(choice);
    this.#options = undefined;
    const resumed = this.#resumption !== undefined;
    this.#resumption = undefined;
    this.emit({ type: 'complete', alpn: choice.alpn, serverName: choice.offer.serverName, resumed });
  }
}

/** What decides the answer may not change between two ClientHellos. */
const RETAINED_EXTENSIONS: readonly number[] = [
  ExtensionType.SERVER_NAME,
  ExtensionType.SUPPORTED_GROUPS,
  ExtensionType.SIGNATURE_ALGORITHMS,
  ExtensionType.ALPN,
  ExtensionType.SUPPORTED_VERSIONS,
  ExtensionType.PSK_KEY_EXCHANGE_MODES,
  ExtensionType.QUIC_TRANSPORT_PARAMETERS,
];

/** The second ClientHello is the first one with the key share that was asked for (RFC 8446 §4.1.2). */
function checkSecondOffer(first: Choice, second: Choice): void {
  const [before, after] = [first.offer, second.offer];
  if (after.keyShares.length !== 1 || after.keyShares[0]?.group !== first.group) {
    fail(Alert.ILLEGAL_PARAMETER, 'the second ClientHello lacks exactly the key share that was asked for');
  }
  // RFC 8446 §4.2.10: a retry declines early data.
  if (after.extensions.has(ExtensionType.EARLY_DATA))
    fail(Alert.ILLEGAL_PARAMETER, 'the second ClientHello offers early data');
  const same =
    equalOctets(before.random, after.random) &&
    before.cipherSuites.join() === after.cipherSuites.join() &&
    RETAINED_EXTENSIONS.every((type) => sameOctets(before.extensions.get(type), after.extensions.get(type)));
  if (!same) fail(Alert.ILLEGAL_PARAMETER, 'the second ClientHello differs from the first');
}

function sameOctets(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalOctets(a, b);
}
