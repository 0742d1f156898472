import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DEFAULT_HOSTS } from './certificate.ts';
import { ensureDevelopmentCertificate, type StoredCertificate } from './store.ts';

export {
  type CertificateAlgorithm,
  createDevelopmentCertificate,
  type DevelopmentCertificate,
  type DevelopmentCertificateOptions,
} from './certificate.ts';
export { ensureDevelopmentCertificate, type StoredCertificate } from './store.ts';

const USAGE = `usage: npm run certs -- [--directory .parley] [--host NAME_OR_ADDRESS]...

Makes the development certificate, or shows the one that is there and still good for two days.
`;

function describe(certificate: StoredCertificate): string {
  const { certificatePath, keyPath, notBefore, notAfter, sha256, sha256Hex, renewed } = certificate;
  const seconds = (at: Date) => at.toISOString().slice(0, 19).replace('T', ' ');
  return `${renewed ? 'Made a new certificate' : 'The certificate is good'}: ${certificatePath}
key (keep it to yourself): ${keyPath}
valid: ${seconds(notBefore)} to ${seconds(notAfter)} UTC
SHA-256: ${sha256Hex}

In a page:
  new WebTransport(url, { serverCertificateHashes: [{ algorithm: 'sha-256', value: Uint8Array.from(atob('${Buffer.from(sha256).toString('base64')}'), (c) => c.charCodeAt(0)) }] })
The demo page gets the hash by itself. Chromium takes it for any origin; no flag and no import into a store is needed.
`;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      directory: { type: 'string', default: '.parley' },
      host: { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const hosts = [...new Set([...DEFAULT_HOSTS, ...(values.host ?? [])])];
  process.stdout.write(describe(ensureDevelopmentCertificate(values.directory, { hosts })));
}

const isMain =
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isMain) {
  try {
    main();
  } catch (error) {
    process.stderr.write(`certs: ${(error as Error).message}\n${USAGE}`);
    process.exitCode = 1;
  }
}
