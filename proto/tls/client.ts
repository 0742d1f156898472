import { Reader } from '../wire/index.ts';
import { Alert, fail, failQuic } from './alerts.ts';
import { expectEnd, extension, type HandshakeMessage, HandshakeType, readVector16, vector } from './codec.ts';
import {
  allowOnly,
  ExtensionType,
  readAlpn,
  readCodeList,
  readKeyShareEntry,
  refuseMisplaced,
  required,
  TLS13,
  writeAlpn,
  writeCodeList,
  writeKeyShare,
  writeServerName,
} from './extensions.ts';
import { generateKeyShare, type KeyShare } from './key-exchange.ts';
import {
  RANDOM_LENGTH,
  readCertificate,
  readCertificateRequest,
  readCertificateVerify,
  readEncryptedExtensions,
  readNewSessionTicket,
  readServerHello,
  type ServerHello,
  writeCertificate,
  writeClientHello,
} from './messages.ts';
import type { TlsClientOptions } from './options.ts';
import { ClientResumption } from './resumption.ts';
import { HandshakeSession, unexpected } from './session.ts';
import {
  CERTIFICATE_SIGNATURE_SCHEMES,
  SIGNATURE_SCHEMES,
  schemeFitsKey,
  verifyTranscript,
} from './signatures.ts';
import { checkTrust, isIpAddress, parseCertificate, publicKeyOf } from './trust.ts';
import type { CipherSuite } from './types.ts';

type State =
  | 'serverHello'
  | 'encryptedExtensions'
  | 'certificateOrRequest'
  | 'certificate'
  | 'certificateVerify'
  | 'finished'
  | 'complete';

/** What every ClientHello of ours offers; a server may answer with nothing else. */
const OFFERED_EXTENSIONS: readonly number[] = [
  ExtensionType.SUPPORTED_GROUPS,
  ExtensionType.SIGNATURE_ALGORITHMS,
  ExtensionType.SIGNATURE_ALGORITHMS_CERT,
  ExtensionType.ALPN,
  ExtensionType.SUPPORTED_VERSIONS,
  ExtensionType.KEY_SHARE,
  ExtensionType.QUIC_TRANSPORT_PARAMETERS,
];
const QUIC_MAX_EARLY_DATA = 0xffff_ffff;

/** The client's half of a TLS 1.3 handshake for QUIC (RFC 8446 §2, RFC 9001 §4). */
export class TlsClient extends HandshakeSession {
  readonly #options: TlsClientOptions;
  readonly #random: Uint8Array;
  readonly #sendsName: boolean;
  readonly #offered: readonly number[];
  #state: State = 'serverHello';
  #shares: readonly KeyShare[];
  #retry: ServerHello | undefined;
  #cipherSuite: CipherSuite | undefined;
  #alpn: string | undefined;
  #chain: readonly Uint8Array[] = [];
  /** The context of a CertificateRequest, to be echoed. */
  #requestContext: Uint8Array | undefined;
  readonly #resumption: ClientResumption;
  #resumed = false;
  #resumptionMaster: Uint8Array | undefined;

  constructor(options: TlsClientOptions) {
    super(options);
    this.#options = options;
    this.#resumption = new ClientResumption(options, this.cipherSuites);
    this.#random = options.random(RANDOM_LENGTH);
    // RFC 6066 §3: no IP addresses in server_name.
    this.#sendsName = options.serverName !== '' && !isIpAddress(options.serverName);
    const name = this.#sendsName ? [ExtensionType.SERVER_NAME] : [];
    this.#offered = [...OFFERED_EXTENSIONS, ...name, ...this.#resumption.extensionTypes];
    const groups = options.keyShareGroups ?? this.groups.slice(0, 1);
    this.#shares = groups.map((group) => generateKeyShare(group, options.random));
    this.#sendClientHello(undefined);
  }

  protected override handle(message: HandshakeMessage): void {
    switch (this.#state) {
      case 'serverHello':
        if (message.type !== HandshakeType.SERVER_HELLO) unexpected(message, 'ServerHello');
        this.#onServerHello(message);
        break;
      case 'encryptedExtensions':
        if (message.type !== HandshakeType.ENCRYPTED_EXTENSIONS) unexpected(message, 'EncryptedExtensions');
        this.#onEncryptedExtensions(message);
        break;
      case 'certificateOrRequest':
        if (message.type === HandshakeType.CERTIFICATE_REQUEST) {
          this.#onCertificateRequest(message);
          break;
        }
        if (message.type !== HandshakeType.CERTIFICATE) unexpected(message, 'Certificate');
        this.#onCertificate(message);
        break;
      case 'certificate':
        if (message.type !== HandshakeType.CERTIFICATE) unexpected(message, 'Certificate');
        this.#onCertificate(message);
        break;
      case 'certificateVerify':
        if (message.type !== HandshakeType.CERTIFICATE_VERIFY) unexpected(message, 'CertificateVerify');
        this.#onCertificateVerify(message);
        break;
      case 'finished':
        if (message.type !== HandshakeType.FINISHED) unexpected(message, 'Finished');
        this.#onFinished(message);
        break;
      case 'complete':
        this.#onPostHandshake(message);
        break;
    }
  }

  #sendClientHello(cookie: Uint8Array | undefined): void {
    const { serverName, alpnProtocols, transportParameters } = this.#options;
    const hello = writeClientHello(this.#random, this.cipherSuites, (w) => {
      if (this.#sendsName) writeServerName(w, serverName);
      extension(w, ExtensionType.SUPPORTED_VERSIONS, (e) => vector(e, 1, (list) => list.u16(TLS13)));
      writeCodeList(w, ExtensionType.SUPPORTED_GROUPS, this.groups);
      writeCodeList(w, ExtensionType.SIGNATURE_ALGORITHMS, SIGNATURE_SCHEMES);
      writeCodeList(w, ExtensionType.SIGNATURE_ALGORITHMS_CERT, CERTIFICATE_SIGNATURE_SCHEMES);
      writeAlpn(w, alpnProtocols);
      extension(w, ExtensionType.QUIC_TRANSPORT_PARAMETERS, (e) => e.bytes(transportParameters));
      if (cookie !== undefined)
        extension(w, ExtensionType.COOKIE, (e) => vector(e, 2, (c) => c.bytes(cookie)));
      extension(w, ExtensionType.KEY_SHARE, (e) =>
        vector(e, 2, (list) => {
          for (const share of this.#shares) writeKeyShare(list, share);
        }),
      );
      // RFC 8446 §4.2.11: pre_shared_key is the last.
      this.#resumption.write(w);
    });
    this.#resumption.bind(hello, (more, hash) => this.transcript.digestWith(more, hash));
    this.send('initial', hello);
  }

  #onServerHello(message: HandshakeMessage): void {
    const hello = readServerHello(message);
    checkVersion(hello);
    // RFC 8446 §4.1.3: it must echo what we sent, which was empty.
    if (hello.sessionId.length > 0)
      fail(Alert.ILLEGAL_PARAMETER, 'ServerHello echoes a session ID we never sent');
    const suite = this.cipherSuites.find((candidate) => candidate === hello.cipherSuite);
    if (suite === undefined)
      fail(Alert.ILLEGAL_PARAMETER, 'the server chose a cipher suite that was not offered');
    if (this.#retry !== undefined && this.#retry.cipherSuite !== suite) {
      fail(Alert.ILLEGAL_PARAMETER, 'the cipher suite changed after HelloRetryRequest');
    }
    this.chooseSuite(suite);
    if (hello.isRetry) {
      this.#onHelloRetryRequest(message, hello, suite);
      return;
    }
    allowOnly(
      hello.extensions,
      [ExtensionType.SUPPORTED_VERSIONS, ExtensionType.KEY_SHARE, ExtensionType.PRE_SHARED_KEY],
      this.#offered,
      'ServerHello',
    );
    // RFC 8446 §4.2.11: a PSK goes with a key share, the only mode we offer.
    if (hello.extensions.has(ExtensionType.PRE_SHARED_KEY) && !hello.extensions.has(ExtensionType.KEY_SHARE))
      fail(Alert.ILLEGAL_PARAMETER, 'the server chose a PSK without a key share');
    const reader = required(hello.extensions, ExtensionType.KEY_SHARE, 'key_share');
    const entry = readKeyShareEntry(reader);
    expectEnd(reader, 'key_share');
    const share = this.#shares.find((candidate) => candidate.group === entry.group);
    if (share === undefined)
      fail(Alert.ILLEGAL_PARAMETER, 'the server chose a group we sent no key share for');
    const secret = share.sharedSecret(entry.key);
    const psk = this.#chosenPsk(hello.extensions.get(ExtensionType.PRE_SHARED_KEY), suite);
    this.transcript.add(message.raw);
    this.expectLevel('handshake');
    this.#cipherSuite = suite;
    this.#shares = [];
    this.#state = 'encryptedExtensions';
    this.startHandshakeKeys(suite, secret, this.#random, psk);
  }

  /** The secret of the session that the server took up again; `undefined` for a full handshake. */
  #chosenPsk(body: Uint8Array | undefined, suite: CipherSuite): Uint8Array | undefined {
    if (body === undefined) return undefined;
    const reader = new Reader(body);
    const selected = reader.u16();
    expectEnd(reader, 'pre_shared_key');
    // RFC 8446 §4.2.11: one was offered.
    if (selected !== 0) fail(Alert.ILLEGAL_PARAMETER, 'the server chose a PSK that was not offered');
    const psk = this.#resumption.accept(suite);
    if (psk === undefined)
      fail(Alert.ILLEGAL_PARAMETER, "the server's cipher suite does not go with its PSK");
    this.#resumed = true;
    return psk;
  }

  #onHelloRetryRequest(message: HandshakeMessage, hello: ServerHello, suite: CipherSuite): void {
    if (this.#retry !== undefined) fail(Alert.UNEXPECTED_MESSAGE, 'a second HelloRetryRequest came');
    const { extensions } = hello;
    allowOnly(
      extensions,
      [ExtensionType.SUPPORTED_VERSIONS, ExtensionType.KEY_SHARE, ExtensionType.COOKIE],
      this.#offered,
      'HelloRetryRequest',
    );
    const asked = extensions.get(ExtensionType.KEY_SHARE);
    const cookie = readCookie(extensions.get(ExtensionType.COOKIE));
    // RFC 8446 §4.1.4: a retry that would change nothing is refused.
    if (asked === undefined && cookie === undefined) {
      fail(Alert.ILLEGAL_PARAMETER, 'HelloRetryRequest asks for no change');
    }
    if (asked !== undefined) this.#shares = [this.#shareFor(asked)];
    this.transcript.retry();
    this.transcript.add(message.raw);
    this.#retry = hello;
    this.#resumption.onRetry(suite);
    this.#sendClientHello(cookie);
  }

  #shareFor(asked: Uint8Array): KeyShare {
    const reader = new Reader(asked);
    const code = reader.u16();
    expectEnd(reader, 'key_share');
    const group = this.groups.find((candidate) => candidate === code);
    if (group === undefined || this.#shares.some((share) => share.group === group)) {
      fail(
        Alert.ILLEGAL_PARAMETER,
        'HelloRetryRequest asks for a group that was not offered or was sent already',
      );
    }
    return generateKeyShare(group, this.#options.random);
  }

  #onEncryptedExtensions(message: HandshakeMessage): void {
    const extensions = readEncryptedExtensions(message);
    allowOnly(
      extensions,
      [
        ExtensionType.SERVER_NAME,
        ExtensionType.SUPPORTED_GROUPS,
        ExtensionType.ALPN,
        ExtensionType.QUIC_TRANSPORT_PARAMETERS,
      ],
      this.#offered,
      'EncryptedExtensions',
    );
    const name = extensions.get(ExtensionType.SERVER_NAME);
    if (name !== undefined && name.length > 0) {
      fail(Alert.DECODE_ERROR, 'server_name in EncryptedExtensions is not empty');
    }
    // RFC 9001 §8.1.
    const alpn = extensions.get(ExtensionType.ALPN);
    if (alpn === undefined) fail(Alert.NO_APPLICATION_PROTOCOL, 'the server chose no application protocol');
    const chosen = readAlpn(alpn);
    if (chosen.length !== 1) fail(Alert.ILLEGAL_PARAMETER, 'the server chose several application protocols');
    this.#alpn = this.#options.alpnProtocols.find((protocol) => protocol === chosen[0]);
    if (this.#alpn === undefined) {
      fail(Alert.ILLEGAL_PARAMETER, 'the server chose an application protocol that was not offered');
    }
    const data = this.transportParametersOf(extensions);
    this.transcript.add(message.raw);
    // RFC 8446 §4.4.2: a resumed session shows no certificate, nor asks for one.
    this.#state = this.#resumed ? 'finished' : 'certificateOrRequest';
    this.emit({ type: 'transportParameters', data });
  }

  #onCertificateRequest(message: HandshakeMessage): void {
    const { context, extensions } = readCertificateRequest(message);
    // RFC 8446 §4.3.2: empty but in post-handshake authentication.
    if (context.length > 0)
      fail(Alert.ILLEGAL_PARAMETER, 'CertificateRequest has a context in the handshake');
    refuseMisplaced(
      extensions,
      [ExtensionType.SIGNATURE_ALGORITHMS, ExtensionType.SIGNATURE_ALGORITHMS_CERT],
      'CertificateRequest',
    );
    const schemes = required(extensions, ExtensionType.SIGNATURE_ALGORITHMS, 'signature_algorithms');
    readCodeList(schemes, 'signature_algorithms');
    this.#requestContext = context;
    this.transcript.add(message.raw);
    this.#state = 'certificate';
  }

  #onCertificate(message: HandshakeMessage): void {
    this.#chain = readCertificate(message);
    const { trust, serverName, nowEpochMs } = this.#options;
    checkTrust(trust, this.#chain, serverName, nowEpochMs);
    this.transcript.add(message.raw);
    this.#state = 'certificateVerify';
  }

  #onCertificateVerify(message: HandshakeMessage): void {
    const { scheme, signature } = readCertificateVerify(message);
    const leaf = parseCertificate(this.#chain[0] ?? new Uint8Array(0));
    const key = publicKeyOf(leaf);
    this.#resumption.certificateEndsAtEpochMs = Date.parse(leaf.validTo);
    // RFC 8446 §4.4.3: one of the offered schemes, and one that fits the certificate's key.
    if (!SIGNATURE_SCHEMES.includes(scheme) || !schemeFitsKey(scheme, key)) {
      fail(Alert.ILLEGAL_PARAMETER, `signature scheme ${scheme} was not offered or does not fit the key`);
    }
    if (!verifyTranscript(scheme, key, this.transcript.digest(), signature)) {
      fail(Alert.DECRYPT_ERROR, "the server's signature does not match the handshake");
    }
    this.transcript.add(message.raw);
    this.#chain = [];
    this.#state = 'finished';
  }

  #onFinished(message: HandshakeMessage): void {
    this.checkFinished('server', message);
    this.expectLevel('application');
    const alpn = this.#alpn;
    const suite = this.#cipherSuite;
    if (alpn === undefined || suite === undefined)
      fail(Alert.INTERNAL_ERROR, 'Finished came before a choice');
    this.startApplicationKeys(suite, this.#random);
    // RFC 8446 §4.4.2: without a suitable certificate the client answers with an empty list, and no CertificateVerify.
    if (this.#requestContext !== undefined)
      this.send('handshake', writeCertificate(this.#requestContext, []));
    this.sendFinished('client');
    this.#state = 'complete';
    const master = this.takeResumptionMaster();
    if (this.#options.onTicket !== undefined) this.#resumptionMaster = master;
    const { serverName } = this.#options;
    const name = serverName === '' ? undefined : serverName;
    this.emit({ type: 'complete', alpn, serverName: name, resumed: this.#resumed });
  }

  #onPostHandshake(message: HandshakeMessage): void {
    // RFC 9001 §4.4: QUIC has no post-handshake client authentication.
    if (message.type === HandshakeType.CERTIFICATE_REQUEST)
      failQuic('CertificateRequest came after the handshake');
    if (message.type !== HandshakeType.NEW_SESSION_TICKET) unexpected(message, 'NewSessionTicket');
    const ticket = readNewSessionTicket(message);
    refuseMisplaced(ticket.extensions, [ExtensionType.EARLY_DATA], 'NewSessionTicket');
    const earlyData = ticket.extensions.get(ExtensionType.EARLY_DATA);
    if (earlyData !== undefined) checkMaxEarlyData(new Reader(earlyData));
    if (this.#resumptionMaster && this.#alpn !== undefined && this.#cipherSuite !== undefined)
      this.#resumption.keep(ticket, this.#resumptionMaster, this.#alpn, this.#cipherSuite);
  }
}

/** RFC 8446 §4.1.3, §4.2.1, RFC 9001 §4.2. */
function checkVersion({ extensions, isDowngrade }: ServerHello): void {
  const body = extensions.get(ExtensionType.SUPPORTED_VERSIONS);
  if (body === undefined) {
    if (isDowngrade) fail(Alert.ILLEGAL_PARAMETER, 'someone keeps the server from speaking TLS 1.3');
    fail(Alert.PROTOCOL_VERSION, 'the server does not speak TLS 1.3');
  }
  const reader = new Reader(body);
  const version = reader.u16();
  expectEnd(reader, 'supported_versions');
  if (version !== TLS13) fail(Alert.ILLEGAL_PARAMETER, 'the server chose a version that was not offered');
}

/** RFC 9001 §4.6.1. */
function checkMaxEarlyData(reader: Reader): void {
  const limit = reader.u32();
  expectEnd(reader, 'early_data');
  if (limit !== QUIC_MAX_EARLY_DATA)
    failQuic('a session ticket limits early data, which QUIC does by flow control');
}

function readCookie(body: Uint8Array | undefined): Uint8Array | undefined {
  if (body === undefined) return undefined;
  const reader = new Reader(body);
  const cookie = readVector16(reader).rest();
  expectEnd(reader, 'cookie');
  if (cookie.length === 0) fail(Alert.DECODE_ERROR, 'the cookie is empty');
  return cookie;
}
