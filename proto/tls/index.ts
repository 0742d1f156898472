export { Alert } from './alerts.ts';
export { TlsClient } from './client.ts';
export { hkdfExpandLabel, hkdfExtract } from './hkdf.ts';
export {
  NamedGroup,
  type SessionTicket,
  type TlsCertificate,
  type TlsClientOptions,
  type TlsServerOptions,
  type TlsTicketOptions,
  type TlsTrust,
} from './options.ts';
export { TlsServer } from './server.ts';
export { hashOctets, type SuiteParts, suiteParts } from './suites.ts';
export { STRONG_SIGNATURES } from './trust.ts';
export { CipherSuite, type CryptoLevel, TlsAlertError, type TlsEvent, type TlsSession } from './types.ts';
export { type CertificateDetails, inspectCertificate } from './x509.ts';
