import { isIPv4 } from 'node:net';
import { commandLine } from '../../net/packaged.ts';
import { readFlags } from '../../net/program.ts';
import { StartupError } from '../../net/startup.ts';
import { API_KEY_VARIABLE } from '../voice.ts';

export const USAGE = `usage: ${commandLine('parley start', 'npm start --')} [options]

  --page-port 8080        port of the demo page on http://localhost
  --https                 serve that page over https, from the host that it calls and under the same certificate: a browser
                          that was told to take it takes calls over TCP too, for networks that block UDP
  --port 4433             UDP port of the forwarder
  --backends 2            how many backends to start
  --tunnel-port 5001      tunnel port of the first backend; the others follow
  --realtime-port 4600    port of the local realtime service
  --lan                   show the page to phones and others in this network too, over https
  --lan-port 8443         port of that page
  --lan-address ADDRESS   the IPv4 address of this machine that they reach, if the guess is wrong (implies --lan)
  --model gpt-realtime    model, when ${API_KEY_VARIABLE} is set
  --cert FILE --key FILE  a certificate that browsers trust, in place of the development certificate
  --origin ORIGIN         pages of this origin may call too, such as http://localhost:5173; may come several times
  --host 127.0.0.1        host that the page is told to call
  --direct                the page calls the forwarder itself; without this a small relay stands between them, by which the
                          page's buttons lose packets, cut the network or change its address
  --qlog DIRECTORY        write a qlog file for each connection there
  --directory .parley     where keys, certificates and configuration files are kept
  --help                  show this

With ${API_KEY_VARIABLE} in the environment callers talk to OpenAI, else to the local realtime service.
`;

const MAX_PORT = 65_535;
const MAX_BACKENDS = 64;

/** Ports of everything that runs, each checked on its own. */
export interface Ports {
  readonly page: number;
  readonly forwarder: number;
  readonly firstTunnel: number;
  readonly realtime: number;
  readonly lan: number;
}

/** What `npm start` was asked for. */
export interface Options {
  readonly help: boolean;
  readonly ports: Ports;
  readonly backends: number;
  readonly https: boolean;
  readonly direct: boolean;
  readonly lan: boolean;
  readonly lanAddress: string | undefined;
  readonly model: string;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly host: string;
  /** Origins of other pages that may call. */
  readonly origins: readonly string[];
  readonly qlog: string | undefined;
  readonly directory: string;
}

function readValues() {
  return readFlags(
    {
      'page-port': { type: 'string', default: '8080' },
      port: { type: 'string', default: '4433' },
      backends: { type: 'string', default: '2' },
      'tunnel-port': { type: 'string', default: '5001' },
      'realtime-port': { type: 'string', default: '4600' },
      https: { type: 'boolean', default: false },
      direct: { type: 'boolean', default: false },
      lan: { type: 'boolean', default: false },
      'lan-port': { type: 'string', default: '8443' },
      'lan-address': { type: 'string' },
      model: { type: 'string', default: 'gpt-realtime' },
      cert: { type: 'string' },
      key: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      origin: { type: 'string', multiple: true, default: [] },
      qlog: { type: 'string' },
      directory: { type: 'string', default: '.parley' },
      help: { type: 'boolean', short: 'h', default: false },
    },
    USAGE,
  );
}

/** Reads the command line. Throws `StartupError`, one sentence per fault. */
export function readOptions(): Options {
  const values = readValues();
  const faults: string[] = [];
  const number = (
    name: 'page-port' | 'port' | 'backends' | 'tunnel-port' | 'realtime-port' | 'lan-port',
    limit = MAX_PORT,
  ) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1 || value > limit)
      faults.push(`--${name} must be a whole number from 1 to ${limit}, not "${values[name]}".`);
    return value;
  };
  const ports: Ports = {
    page: number('page-port'),
    forwarder: number('port'),
    firstTunnel: number('tunnel-port'),
    realtime: number('realtime-port'),
    lan: number('lan-port'),
  };
  const backends = number('backends', MAX_BACKENDS);
  if (ports.firstTunnel <= MAX_PORT && ports.firstTunnel + backends - 1 > MAX_PORT)
    faults.push(`--tunnel-port ${ports.firstTunnel} leaves no room for the ports of ${backends} backends.`);
  const { cert, key, 'lan-address': lanAddress } = values;
  if ((cert === undefined) !== (key === undefined))
    faults.push('--cert and --key belong together: give both or none.');
  if (lanAddress !== undefined && !isIPv4(lanAddress))
    faults.push(`--lan-address must be an IPv4 address such as 192.168.1.20, not "${lanAddress}".`);
  for (const origin of values.origin)
    if (!URL.canParse(origin) || new URL(origin).origin !== origin)
      faults.push(
        `--origin must be an origin without a path, such as http://localhost:5173, not "${origin}".`,
      );
  if (faults.length > 0) throw new StartupError(faults.join('\n'));
  const { help, https, direct, lan, model, host, qlog, directory } = values;
  return {
    help,
    ports,
    backends,
    https,
    direct,
    lan: lan || lanAddress !== undefined,
    lanAddress,
    model,
    certificate: cert,
    key,
    host,
    origins: values.origin,
    qlog,
    directory,
  };
}
