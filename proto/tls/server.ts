import { equalOctets } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import { type Offer, readOffer } from './client-hello.ts';
import { extension, type HandshakeMessage, HandshakeType } from './codec.ts';
import { DEFAULT_CIPHER_SUITES, DEFAULT_GROUPS } from './defaults.ts';
import { ExtensionType, type KeyShareEntry, TLS13, writeAlpn, writeKeyShare } from './extensions.ts';
import { chooseIdentity, type Identity } from './identity.ts';
import { generateKeyShare } from './key-exchange.ts';
import {
  HELLO_RETRY_RANDOM,
  RANDOM_LENGTH,
  readClientHello,
  writeCertificate,
  writeCertificateVerify,
  writeEncryptedExtensions,
  writeServerHello,
} from './messages.ts';
import type { NamedGroup, TlsServerOptions } from './options.ts';
import { HandshakeSession, unexpected } from './session.ts';
import { signTranscript } from './signatures.ts';
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

/** The server's half of a TLS 1.3 handshake for QUIC (RFC 8446 §2, RFC 9001 §4). */
export class TlsServer extends HandshakeSession {
  readonly #options: TlsServerOptions;
  readonly #cipherSuites: readonly CipherSuite[];
  readonly #groups: readonly NamedGroup[];
  #state: State = 'clientHello';
  #choice: Choice | undefined;

  constructor(options: TlsServerOptions) {
    super(options.keyLog);
    this.#options = options;
    this.#cipherSuites = options.cipherSuites ?? DEFAULT_CIPHER_SUITES;
    this.#groups = options.groups ?? DEFAULT_GROUPS;
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
    const share = choice.offer.keyShares.find((entry) => entry.group === choice.group);
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
    const cipherSuite = this.#cipherSuites.find((suite) => offer.cipherSuites.includes(suite));
    if (cipherSuite === undefined) fail(Alert.HANDSHAKE_FAILURE, 'no cipher suite in common');
    const common = this.#groups.filter((group) => offer.groups.includes(group));
    // A group whose share is here saves a round trip, so it goes before a group that we like better.
    const shared = common.find((group) => offer.keyShares.some((entry) => entry.group === group));
    const group = shared ?? common[0];
    if (group === undefined) fail(Alert.HANDSHAKE_FAILURE, 'no key exchange group in common');
    const alpn = this.#options.alpnProtocols.find((protocol) => offer.alpn.includes(protocol));
    if (alpn === undefined) fail(Alert.NO_APPLICATION_PROTOCOL, 'no application protocol in common');
    const identity = chooseIdentity(this.#options.certificates, offer.serverName, offer.signatureSchemes);
    if (identity === undefined) {
      fail(Alert.HANDSHAKE_FAILURE, 'no certificate whose signature the client accepts');
    }
    return { offer, cipherSuite, group, alpn, identity, transportParameters };
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
    const { random, transportParameters } = this.#options;
    const share = generateKeyShare(choice.group, random);
    const sharedSecret = share.sharedSecret(peerShare.key);
    const serverHello = writeServerHello(random(RANDOM_LENGTH), cipherSuite, (w) => {
      extension(w, ExtensionType.SUPPORTED_VERSIONS, (e) => e.u16(TLS13));
      extension(w, ExtensionType.KEY_SHARE, (e) => writeKeyShare(e, share));
    });
    this.send('initial', serverHello);
    this.startHandshakeKeys(cipherSuite, sharedSecret, offer.random);
    this.emit({ type: 'transportParameters', data: choice.transportParameters });
    const encryptedExtensions = writeEncryptedExtensions((w) => {
      // RFC 6066 §3: an empty server_name says that the name was used.
      if (identity.nameMatches) extension(w, ExtensionType.SERVER_NAME, () => {});
      writeAlpn(w, [alpn]);
      extension(w, ExtensionType.QUIC_TRANSPORT_PARAMETERS, (e) => e.bytes(transportParameters));
    });
    this.send('handshake', encryptedExtensions);
    this.send('handshake', writeCertificate(new Uint8Array(0), identity.certificate.chain));
    const { scheme, certificate } = identity;
    const signature = signTranscript(scheme, certificate.privateKey, this.transcript.digest());
    this.send('handshake', writeCertificateVerify(scheme, signature));
    this.sendFinished('server');
    this.startApplicationKeys(cipherSuite, offer.random);
    this.#state = 'finished';
  }

  #onFinished(message: HandshakeMessage): void {
    this.checkFinished('client', message);
    this.expectLevel('application');
    this.#state = 'complete';
    const choice = this.#choice;
    if (choice === undefined) fail(Alert.INTERNAL_ERROR, 'Finished without ClientHello');
    // The offer holds on to the whole ClientHello; an idle connection need not.
    this.#choice = undefined;
    this.emit({ type: 'complete', alpn: choice.alpn, serverName: choice.offer.serverName });
  }
}

/** The second ClientHello is the first one with the key share that was asked for (RFC 8446 §4.1.2). */
function checkSecondOffer(first: Choice, second: Choice): void {
  const share = second.offer.keyShares;
  if (share.length !== 1 || share[0]?.group !== first.group) {
    fail(Alert.ILLEGAL_PARAMETER, 'the second ClientHello lacks exactly the key share that was asked for');
  }
  const same =
    equalOctets(first.offer.random, second.offer.random) &&
    equalOctets(first.transportParameters, second.transportParameters) &&
    first.offer.serverName === second.offer.serverName &&
    sameList(first.offer.cipherSuites, second.offer.cipherSuites) &&
    sameList(first.offer.groups, second.offer.groups) &&
    sameList(first.offer.alpn, second.offer.alpn);
  if (!same || first.cipherSuite !== second.cipherSuite) {
    fail(Alert.ILLEGAL_PARAMETER, 'the second ClientHello differs from the first');
  }
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
