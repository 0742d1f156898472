import {
  CipherSuite,
  NamedGroup,
  type SessionTicket,
  TlsAlertError,
  TlsClient,
  type TlsEvent,
  TlsServer,
  type TlsSession,
} from '../../../proto/tls/index.ts';
import { seededRandom, testCertificate } from '../../support/quic-fixtures.ts';
import { Finding, must, type Tape } from './tape.ts';

const START_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;
/** What a server that gives tickets remembers them by, or another. */
const SECRETS = [new Uint8Array(32).fill(3), new Uint8Array(32).fill(4)] as const;
const NEW_SESSION_TICKET = 4;
const MAX_HANDSHAKES = 6;

type Meddle = (data: Uint8Array) => Uint8Array;

/** How a handshake went: on each side whether it was completed by resumption (`undefined`: not completed). */
interface Ends {
  client: boolean | undefined;
  server: boolean | undefined;
  readonly secrets: { readonly client: string[]; readonly server: string[] };
  alert: string | undefined;
}

/** Runs both ends until neither has anything to say, or one refuses with an alert; other errors are findings. */
function shake(client: () => TlsSession, server: () => TlsSession, meddle: Meddle): Ends {
  const ends: Ends = {
    client: undefined,
    server: undefined,
    secrets: { client: [], server: [] },
    alert: undefined,
  };
  const note = (who: 'client' | 'server', event: TlsEvent): void => {
    if (event.type === 'complete') ends[who] = event.resumed;
    if (event.type === 'secrets')
      ends.secrets[who].push(Buffer.concat([event.clientSecret, event.serverSecret]).toString('hex'));
  };
  try {
    const sides = { client: client(), server: server() };
    for (let busy = true; busy; ) {
      busy = false;
      for (const who of ['client', 'server'] as const) {
        const other = who === 'client' ? sides.server : sides.client;
        for (let event = sides[who].poll(); event !== undefined; event = sides[who].poll()) {
          busy = true;
          note(who, event);
          if (event.type === 'send') other.receive(event.level, meddle(event.data));
        }
      }
    }
  } catch (error) {
    if (!(error instanceof TlsAlertError))
      throw new Finding('nothing throws across the face', String(error), error);
    ends.alert = error.message;
  }
  return ends;
}

/** Tickets that were kept well or badly, and handshakes that are changed on their way. */
class HostileResumption {
  readonly #tape: Tape;
  readonly #random: (length: number) => Uint8Array;
  #now = START_MS;

  constructor(tape: Tape) {
    this.#tape = tape;
    this.#random = seededRandom(tape.u8() + 1);
  }

  #server(secret: Uint8Array): () => TlsServer {
    return () =>
      new TlsServer({
        random: this.#random,
        certificates: [testCertificate],
        alpnProtocols: ['h3'],
        transportParameters: Uint8Array.of(1),
        tickets: { secret, nowEpochMs: () => this.#now },
      });
  }

  #client(session: SessionTicket | undefined, keep: (ticket: SessionTicket) => void): () => TlsClient {
    const suites = Object.values(CipherSuite);
    const cipherSuites = this.#tape.chance(70) ? suites : [this.#tape.pick(suites)];
    const keyShareGroups = this.#tape.pick([[NamedGroup.X25519], [NamedGroup.SECP256R1], []]);
    return () =>
      new TlsClient({
        random: this.#random,
        serverName: 'localhost',
        alpnProtocols: ['h3'],
        transportParameters: Uint8Array.of(2),
        nowEpochMs: this.#now,
        trust: { kind: 'any' },
        cipherSuites,
        keyShareGroups,
        onTicket: keep,
        ...(session && { session }),
      });
  }

  /** A ticket that its client did not keep well; which parts were changed. */
  #spoil(session: SessionTicket): { session: SessionTicket; ticket: boolean; psk: boolean } {
    const tape = this.#tape;
    switch (tape.below(5)) {
      case 0: {
        const ticket = tape.mutate(session.ticket).slice(0, 60_000);
        const changed = Buffer.compare(ticket, session.ticket) !== 0 && ticket.length > 0;
        return {
          session: { ...session, ticket: changed ? ticket : session.ticket },
          ticket: changed,
          psk: false,
        };
      }
      case 1: {
        const psk = session.psk.slice();
        psk[tape.below(psk.length)]! ^= 1 + tape.below(255);
        return { session: { ...session, psk }, ticket: false, psk: true };
      }
      case 2:
        return { session: { ...session, ageAdd: tape.u32() }, ticket: false, psk: false };
      default:
        return { session, ticket: false, psk: false };
    }
  }

  run(): string {
    const tape = this.#tape;
    let kept: { session: SessionTicket; secret: Uint8Array; at: number } | undefined;
    const outcomes: string[] = [];
    for (let i = 0; i < MAX_HANDSHAKES && !tape.ended; i++) {
      const secret = tape.pick(SECRETS);
      const offered = kept && this.#spoil(kept.session);
      let changed = false;
      let touched = false;
      const meddle: Meddle = (data) => {
        if (!tape.chance(4)) return data;
        const out = tape.mutate(data);
        touched = true;
        // Octets behind a message are no part of it, and tickets none of the handshake.
        const isTicket = data[0] === NEW_SESSION_TICKET;
        changed ||= !isTicket && Buffer.compare(out.subarray(0, data.length), data) !== 0;
        return out;
      };
      const before: { kept: typeof kept } = { kept };
      const client = this.#client(offered?.session, (session) => {
        // It is the server that must mind its age.
        kept = { session: { ...session, expiresAtEpochMs: Infinity }, secret, at: this.#now };
      });
      const ends = shake(client, this.#server(secret), meddle);
      this.#judge(ends, changed, touched, offered !== undefined);
      if (offered !== undefined && before.kept !== undefined && !changed) {
        const good = !offered.ticket && before.kept.secret === secret && this.#now - before.kept.at <= DAY_MS;
        if (ends.server === true) {
          must(good, 'only good tickets are taken', 'one that was changed, of another secret, or too old');
          must(!offered.psk, 'only who knows the secret resumes', 'with another PSK');
        }
      }
      outcomes.push(ends.alert !== undefined ? 'alert' : ends.server === true ? 'resumed' : 'full');
      this.#now += tape.pick([1000, 60_000, DAY_MS / 2, DAY_MS - 1000, 2 * DAY_MS]);
    }
    return [...new Set(outcomes)].sort().join(', ');
  }

  #judge(ends: Ends, changed: boolean, touched: boolean, offered: boolean): void {
    const { client, server, secrets } = ends;
    must(offered || !server, 'what was not offered is not resumed', 'the server did');
    if (client === undefined || server === undefined) {
      must(touched || ends.alert !== undefined, 'an honest handshake ends', 'neither completed nor refused');
      return;
    }
    must(!changed, 'a changed handshake completes nowhere', `resumed: ${server}`);
    must(client === server, 'both ends agree', `resumed: client ${client}, server ${server}`);
    must(String(secrets.client) === String(secrets.server), 'both ends agree', 'on secrets');
  }
}

export function resume(tape: Tape): string {
  return new HostileResumption(tape).run();
}
