import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { PACKAGED } from '../../net/packaged.ts';
import { API_KEY_VARIABLE } from '../voice.ts';
import type { LocalFiles } from './cluster.ts';
import { holdUdpSocket } from './held-socket.ts';
import type { Ports } from './options.ts';
import type { OtherPages } from './other-pages.ts';
import { type Colour, Part } from './part.ts';

/** How long parts get to end after Ctrl-C, in ms. */
const STOP_GRACE_MS = 8000;
/** How long calls get to end by themselves then, of that time. */
const DRAIN_AT_STOP_MS = 2000;
const BACKEND_COLOURS: readonly Colour[] = ['green', 'magenta', 'yellow', 'blue'];

const script = (path: string) =>
  fileURLToPath(new URL(`../../${path}.${PACKAGED ? 'js' : 'ts'}`, import.meta.url));

/** The processes. They are started in this order, as each needs those before it. */
export interface Parts {
  /** None when callers talk to OpenAI. */
  readonly realtime: readonly Part[];
  readonly backends: readonly Part[];
  readonly forwarder: Part;
}

function hasIpv6Loopback(): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
}

export function planParts(
  ports: Ports,
  useOpenAi: boolean,
  local: { readonly certificate: string; readonly key: string },
  files: LocalFiles,
  pages: OtherPages,
): Parts {
  const realtime = new Part({
    name: 'realtime',
    colour: 'cyan',
    script: script('server/realtime/local/main'),
    args: ['--port', String(ports.realtime), '--cert', local.certificate, '--key', local.key, '--commands'],
    without: [API_KEY_VARIABLE],
    commands: true,
    describe: `local realtime service on wss://localhost:${ports.realtime} (set ${API_KEY_VARIABLE} to talk to OpenAI)`,
  });
  const backends = files.backends.map(
    ({ config, serverId }, i) =>
      new Part({
        name: `backend-${i + 1}`,
        colour: BACKEND_COLOURS[i % BACKEND_COLOURS.length]!,
        script: script('server/main'),
        args: ['--config', config],
        describe: `server ID ${serverId}, tunnel on udp/${ports.firstTunnel + i}`,
        notice: ({ outcome, origin }) => {
          if (outcome === 'origin-refused' && typeof origin === 'string') pages.refused(origin);
        },
      }),
  );
  // Browsers resolve names below localhost to ::1 first.
  const withIpv6 = hasIpv6Loopback();
  const listen = [`0.0.0.0:${ports.forwarder}`, ...(withIpv6 ? [`[::1]:${ports.forwarder}`] : [])];
  // They belong to the addresses in order: without the first there is no second.
  const held = holdUdpSocket(ports.forwarder);
  const held6 = held === undefined || !withIpv6 ? undefined : holdUdpSocket(ports.forwarder, '::1');
  const forwarder = new Part({
    name: 'forwarder',
    colour: 'blue',
    script: script('lb/main'),
    args: ['--cluster', files.cluster, ...listen.flatMap((address) => ['--listen', address])],
    descriptors: [held, held6].filter((descriptor) => descriptor !== undefined),
    without: [API_KEY_VARIABLE],
    describe: `keeps no state, on udp/${ports.forwarder}`,
  });
  return { realtime: useOpenAi ? [] : [realtime], backends, forwarder };
}

export async function startParts({ realtime, backends, forwarder }: Parts): Promise<void> {
  for (const stage of [realtime, backends, [forwarder]]) {
    const started = await Promise.all(stage.map((part) => part.start()));
    for (const announce of started) announce();
  }
}

/** Backends go first: what they tell their callers at the end needs the others. */
export async function stopParts({ realtime, backends, forwarder }: Parts): Promise<void> {
  for (const part of [forwarder, ...realtime]) part.hush();
  for (const stage of [backends, [forwarder, ...realtime]]) {
    for (const part of stage) part.stop(DRAIN_AT_STOP_MS);
    await Promise.all(stage.map((part) => part.stopped(STOP_GRACE_MS)));
  }
}
