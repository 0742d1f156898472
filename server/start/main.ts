import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileWatch } from '../../net/file-watch.ts';
import { fileFault } from '../../net/files.ts';
import { runProgram } from '../../net/program.ts';
import { API_KEY_VARIABLE } from '../voice.ts';
import { DevelopmentCertificate, ownCertificate, type ServedCertificate } from './certificates.ts';
import { CALL_HOST, writeLocalFiles } from './cluster.ts';
import { DemoTokens } from './demo-tokens.ts';
import { FaultBench } from './faults.ts';
import { lanAddresses, lanInstructions } from './lan.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { OtherPages } from './other-pages.ts';
import { pageFiles } from './page-files.ts';
import { type PageConfig, serveLanPage, servePage, TOKEN_PATH } from './page-server.ts';
import { paint, say, status } from './part.ts';
import { type Parts, planParts, startParts, stopParts } from './parts.ts';
import { checkPorts, type WantedPort } from './ports.ts';
import { FaultRelay } from './relay/fault-relay.ts';

/** How often the certificate is looked at, in ms. */
const CERTIFICATE_INTERVAL_MS = 60_000;
/** How often it is looked whether npm still runs, in ms. */
const PARENT_INTERVAL_MS = 500;

/** Every port that will be used. */
function wantedPorts({ ports, backends, lan }: Options, useOpenAi: boolean): WantedPort[] {
  const loopback = '127.0.0.1';
  const every = '0.0.0.0';
  const tunnels = Array.from({ length: backends }, (_, i): WantedPort => {
    const port = ports.firstTunnel + i;
    return { what: `backend-${i + 1}`, protocol: 'udp', host: loopback, port, flag: '--tunnel-port' };
  });
  const page: WantedPort = {
    what: 'page',
    protocol: 'tcp',
    host: loopback,
    port: ports.page,
    flag: '--page-port',
  };
  return [
    page,
    ...(lan
      ? [{ ...page, what: 'page for the network', host: every, port: ports.lan, flag: '--lan-port' }]
      : []),
    { what: 'forwarder', protocol: 'udp', host: every, port: ports.forwarder, flag: '--port' },
    { what: 'forwarder', protocol: 'tcp', host: every, port: ports.forwarder, flag: '--port' },
    ...tunnels,
    ...tunnels.map((tunnel) => ({ ...tunnel, protocol: 'tcp' as const })),
    ...(useOpenAi ? [] : [{ ...page, what: 'realtime', port: ports.realtime, flag: '--realtime-port' }]),
  ];
}

/** What `npm start` keeps while it runs. */
interface Setting {
  readonly options: Options;
  readonly useOpenAi: boolean;
  readonly addresses: readonly string[];
  readonly local: DevelopmentCertificate;
  readonly served: ServedCertificate;
  readonly tokens: DemoTokens;
  /** Between the page of this machine and the forwarder; without it the page calls the forwarder itself. */
  readonly relay: FaultRelay | undefined;
  readonly otherPages: OtherPages;
}

/** The page of this machine can break things, unless it is told to call another host, or to take the certificate as it is by its port. */
function openRelay({ host, https, direct, ports }: Options): Promise<FaultRelay> | undefined {
  const loopback = host === '127.0.0.1' || host === 'localhost';
  return loopback && !https && !direct ? FaultRelay.open(ports.forwarder) : undefined;
}

function pageConfig(
  { options, useOpenAi, served }: Setting,
  host: string,
  port = options.ports.forwarder,
): PageConfig {
  return {
    url: `https://${host}:${port}/voice`,
    certificateHashes: served.hashes(),
    tokenUrl: TOKEN_PATH,
    callHost: CALL_HOST,
    upstream: useOpenAi ? 'openai' : 'local',
  };
}

/** Serves the pages and keeps the certificate good, now and while all runs: a machine may sleep for days between two looks. */
async function servePages(setting: Setting, root: string, parts: () => Parts | undefined): Promise<void> {
  const { options, local, served, tokens, relay, otherPages } = setting;
  const { ports } = options;
  const mint = () => tokens.mint();
  const readPair = () => ({ cert: readFileSync(served.certificate), key: readFileSync(served.key) });
  const keepGood = () => {
    try {
      const news = local.refresh();
      if (news !== undefined) status('certificate', 'gray', news);
    } catch (error) {
      status('certificate', 'red', `could not be renewed: ${fileFault(error)}`);
    }
  };
  setInterval(keepGood, CERTIFICATE_INTERVAL_MS).unref();
  const faults = relay && new FaultBench(relay, parts);
  const config = () => {
    keepGood();
    return { ...pageConfig(setting, options.host, relay?.port), ...(faults && { faults: faults.available }) };
  };
  const pair = options.https ? readPair() : undefined;
  const pages = [await servePage(root, ports.page, config, { mint, faults, otherPages }, pair)];
  if (options.lan) {
    const lanConfig = (address: string) => {
      keepGood();
      // With a certificate of one's own the host has to be the one that it names.
      return pageConfig(setting, served === local ? address : options.host);
    };
    pages.push(await serveLanPage(root, ports.lan, readPair(), lanConfig, mint));
  }
  new FileWatch([served.certificate, served.key], () => {
    try {
      for (const page of pages) page.renew(readPair());
    } catch {
      // Half of the pair is written: the next look finds both.
    }
  });
}

/** The page's address on this machine. Over https it is the host that the page calls: browsers take a certificate for one host. */
function pageUrl({ https, host, ports }: Options): string {
  return https ? `https://${host}:${ports.page}` : `http://localhost:${ports.page}`;
}

/** Addresses of the page for other devices, the likeliest first. */
function lanUrls({ options, addresses, local, served }: Setting): string[] {
  const hosts = served === local ? addresses : [options.host];
  return hosts.map((host) => `https://${host}:${options.ports.lan}`);
}

/**
 * Brings everything up, prints one line for each part and the page's address last, and leaves it running. `planned` is told
 * of the parts before the first of them starts.
 */
async function start(options: Options, planned: (parts: Parts) => void): Promise<void> {
  const { ports, directory } = options;
  const useOpenAi = Boolean(process.env[API_KEY_VARIABLE]);
  const addresses = options.lan ? lanAddresses(options.lanAddress) : [];
  const own = ownCertificate(options.certificate, options.key);
  await checkPorts(wantedPorts(options, useOpenAi));
  const local = new DevelopmentCertificate(directory, addresses);
  const setting: Setting = {
    options,
    useOpenAi,
    addresses,
    local,
    served: own ?? local,
    tokens: new DemoTokens(),
    relay: await openRelay(options),
    otherPages: new OtherPages(options.origins, (sentence) => status('page', 'yellow', sentence)),
  };
  status('certificate', 'gray', setting.served.description);
  let parts: Parts | undefined;
  await servePages(setting, await pageFiles(), () => parts);
  const urls = options.lan ? lanUrls(setting) : [];
  const scheme = options.https ? 'https' : 'http';
  const files = writeLocalFiles({
    // By port: another `npm start` with this directory has files of its own.
    directory: join(directory, String(ports.forwarder)),
    origins: [
      ...new Set([
        pageUrl(options),
        `${scheme}://localhost:${ports.page}`,
        `${scheme}://127.0.0.1:${ports.page}`,
        ...urls,
        ...options.origins,
      ]),
    ],
    backends: options.backends,
    firstTunnelPort: ports.firstTunnel,
    certificate: setting.served.certificate,
    key: setting.served.key,
    qlogDirectory: options.qlog,
    tokens: setting.tokens,
    upstream: useOpenAi
      ? { kind: 'openai', model: options.model }
      : { kind: 'local', baseUrl: `https://localhost:${ports.realtime}/v1`, ca: local.certificate },
  });
  if (useOpenAi) status('upstream', 'cyan', `OpenAI Realtime API, ${options.model}`);
  parts = planParts(ports, useOpenAi, local, files, setting.otherPages);
  planned(parts);
  await startParts(parts);
  if (options.lan) say(lanInstructions(urls, own !== undefined));
  const url = paint(['bold', 'underline'], pageUrl(options));
  if (options.https && own === undefined)
    say(`\nThe browser warns of the certificate, since this machine made it itself; going on once is enough for the page and
for calls over TCP. Firefox keeps that for each port: there, open https://${options.host}:${ports.forwarder} once as well.`);
  say(`\n${paint('bold', 'Parley is ready:')} open ${url} in Chrome. Ctrl-C ends it.`);
}

/** SIGTERM to npm ends npm and its shell without a signal to this process, which would run on and hold its ports. */
function endWithNpm(stop: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, PARENT_INTERVAL_MS).unref();
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  let parts: Parts | undefined;
  let stopping = false;
  const stop = async () => {
    if (stopping) process.exit(130);
    stopping = true;
    say('\nEnding calls; Ctrl-C again ends all at once.');
    if (parts !== undefined) await stopParts(parts);
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop());
  endWithNpm(() => void stop());
  try {
    await start(options, (planned) => {
      parts = planned;
    });
  } catch (error) {
    // A start that was stopped half-way has not failed.
    if (stopping) return;
    if (parts !== undefined) await stopParts(parts);
    throw error;
  }
}

runProgram(main, `${paint('red', 'Parley could not start.')}\n`);
