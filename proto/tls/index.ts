export { CipherSuite, type CryptoLevel, TlsAlertError, type TlsEvent, type TlsSession } from './types.ts';
