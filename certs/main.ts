import { folderFault } from '../net/files.ts';
import { commandLine } from '../net/packaged.ts';
import { readFlags, runProgram } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';
import { DEFAULT_HOSTS } from './certificate.ts';
import { ensureDevelopmentCertificate, type StoredCertificate } from './store.ts';

const USAGE = `usage: ${commandLine('parley certs', 'npm run certs --')} [--directory .parley] [--host NAME_OR_ADDRESS]...

Makes a development certificate, or shows the one that is there and good for two more days.
`;

function describe(certificate: StoredCertificate): string {
  const { certificatePath, keyPath, notBefore, notAfter, sha256, sha256Hex, renewed } = certificate;
  const seconds = (at: Date) => at.toISOString().slice(0, 19).replace('T', ' ');
  return `${renewed ? 'Made a new certificate' : 'The certificate is good'}: ${certificatePath}
key (keep it secret): ${keyPath}
valid: ${seconds(notBefore)} to ${seconds(notAfter)} UTC
SHA-256: ${sha256Hex}

In a page:
  new WebTransport(url, { serverCertificateHashes: [{ algorithm: 'sha-256', value: Uint8Array.from(atob('${Buffer.from(sha256).toString('base64')}'), (c) => c.charCodeAt(0)) }] })
The demo page gets the hash by itself. Browsers take a certificate by its hash on any page; no flag and no import into a store is needed.
`;
}

function make(directory: string, hosts: readonly string[]): StoredCertificate {
  try {
    return ensureDevelopmentCertificate(directory, { hosts });
  } catch (error) {
    if (error instanceof StartupError) throw error;
    if (error instanceof RangeError) throw new StartupError(`certs: ${error.message}.`);
    throw new StartupError(`certs: cannot write into ${directory}: ${folderFault(error)}.`);
  }
}

function main(): void {
  const flags = readFlags(
    {
      directory: { type: 'string', default: '.parley' },
      host: { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h', default: false },
    },
    USAGE,
  );
  if (flags.help) {
    process.stdout.write(USAGE);
    return;
  }
  const hosts = [...new Set([...DEFAULT_HOSTS, ...(flags.host ?? [])])];
  process.stdout.write(describe(make(flags.directory, hosts)));
}

runProgram(main);
