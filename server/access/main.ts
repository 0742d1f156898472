import { loadClusterFile } from '../../net/cluster/index.ts';
import { commandLine } from '../../net/packaged.ts';
import { readFlags, runProgram } from '../../net/program.ts';
import { StartupError } from '../../net/startup.ts';
import { ticketSecretOf } from '../cluster.ts';
import { type BackendConfig, readBackendConfig } from '../config.ts';
import { subjectName } from './gate.ts';
import { mintToken } from './mint.ts';
import { readSecret, TOKEN_SECRET_VARIABLE } from './secret.ts';

const USAGE = `usage: ${commandLine('parley token', 'npm run --silent token --')} --subject anna

Prints a token (a JWT, HS256) with which a page may call. The secret is read from ${TOKEN_SECRET_VARIABLE}: 32 octets at least, as
text, or as hex: or base64: and the digits.

  --subject NAME         who calls
  --ttl 300              seconds until it expires
  --issuer TEXT          what "issuer" of the backend's "auth" asks for
  --audience TEXT        what "audience" of it asks for
  --max-calls N          calls at once that the subject may have
  --minutes-per-day N    minutes that the subject may call each day (UTC)
  --config FILE          a backend's file: secret, issuer and audience are those of its "auth"
  --log-name             print the subject's name in the log of that backend instead (needs --config)
  --help                 show this
`;

function readValues() {
  return readFlags(
    {
      subject: { type: 'string' },
      ttl: { type: 'string', default: '300' },
      issuer: { type: 'string' },
      audience: { type: 'string' },
      'max-calls': { type: 'string' },
      'minutes-per-day': { type: 'string' },
      config: { type: 'string' },
      'log-name': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    USAGE,
  );
}

/** The number that a flag gives. Throws `StartupError`. */
function numberOf(flag: string, text: string, least: number, whole: boolean): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < least || (whole && !Number.isInteger(value)))
    throw new StartupError(
      `--${flag} must be a ${whole ? 'whole number' : 'number'} from ${least} on, not "${text}".`,
    );
  return value;
}

/** What the backend's file says of tokens. Throws `StartupError` when only another can make them. */
function authOf(config: BackendConfig | undefined, path = '') {
  if (config === undefined) return undefined;
  if (config.auth === undefined)
    throw new StartupError(`${path}: there is no "auth": this backend asks for no token.`);
  if (config.auth.secret === undefined)
    throw new StartupError(
      `${path}: tokens are checked with a JWKS: the holder of its private key makes them.`,
    );
  return config.auth;
}

async function main(): Promise<void> {
  const flags = readValues();
  if (flags.help) {
    process.stdout.write(USAGE);
    return;
  }
  const { subject, config: path } = flags;
  if (subject === undefined || subject === '') throw new StartupError(`--subject is missing.\n\n${USAGE}`);
  const config = path === undefined ? undefined : readBackendConfig(path);
  if (flags['log-name']) {
    if (config === undefined) throw new StartupError('--log-name needs --config.');
    const secret = ticketSecretOf(loadClusterFile(config.cluster).cluster);
    process.stdout.write(`${subjectName(subject, secret)}\n`);
    return;
  }
  const optional = (name: 'max-calls' | 'minutes-per-day', least: number, whole: boolean) =>
    flags[name] === undefined ? undefined : numberOf(name, flags[name], least, whole);
  const ttlSeconds = numberOf('ttl', flags.ttl, 1, true);
  const maxCalls = optional('max-calls', 1, true);
  const minutesPerDay = optional('minutes-per-day', 0, false);
  const auth = authOf(config, path);
  const secret = readSecret(auth?.secret ?? { env: TOKEN_SECRET_VARIABLE }, process.env);
  const issuer = flags.issuer ?? auth?.issuer;
  const audience = flags.audience ?? auth?.audience;
  const options = { subject, ttlSeconds, issuer, audience, maxCalls, minutesPerDay };
  process.stdout.write(`${await mintToken(secret, options)}\n`);
}

runProgram(main);
