export {
  type CertificateAlgorithm,
  createDevelopmentCertificate,
  DEFAULT_HOSTS,
  type DevelopmentCertificate,
  type DevelopmentCertificateOptions,
} from './certificate.ts';
export { ensureDevelopmentCertificate, type StoredCertificate } from './store.ts';
