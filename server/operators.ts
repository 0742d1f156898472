import { readFileOrStop } from '../net/files.ts';
import type { OperatorAnswer, OperatorHandler, OperatorRequest } from '../net/operator-port.ts';
import { plainAnswer } from '../net/operator-port.ts';
import { StartupError } from '../net/startup.ts';
import { type CallList, hasBearer } from './calls/index.ts';
import type { BackendConfig } from './config.ts';
import type { BackendMetrics } from './metrics.ts';
import type { WebTransportSession } from './webtransport/index.ts';

const UNAUTHORIZED =
  'This wants the token of operators, which is "operatorToken" of the backend\'s file; `parley calls` reads it from PARLEY_OPERATOR_TOKEN.\n';

/** A token that can be guessed shows who calls. */
const MIN_TOKEN_CHARACTERS = 16;

/** The token that operators must give; undefined where none is set. Throws `StartupError`, which never repeats it. */
export function readOperatorToken(
  place: BackendConfig['operatorToken'],
  env: NodeJS.ProcessEnv,
): string | undefined {
  if (place === undefined) return undefined;
  const [written, where] =
    'file' in place
      ? [readFileOrStop(place.file, 'operatorToken'), place.file]
      : [env[place.env] ?? '', place.env];
  const token = written.trim();
  if ('env' in place && token === '')
    throw new StartupError(`operatorToken: ${where} is not set; set it to the token that operators give.`);
  if (token.length < MIN_TOKEN_CHARACTERS || /\s/.test(token))
    throw new StartupError(
      `operatorToken: ${where} must hold ${MIN_TOKEN_CHARACTERS} characters at least, without a space; make one with "openssl rand -hex 16".`,
    );
  return token;
}

/** What operators are shown of a backend. */
export interface OperatorView {
  readonly metrics: BackendMetrics;
  readonly health: () => { readonly status: number; readonly body: string };
  readonly calls: CallList;
  /**
   * Begins a qlog of the connection that carries this session: its file, or why there is none. Absent: `qlogOnDemand` is not set.
   */
  readonly trace?: ((session: WebTransportSession) => { readonly path: string } | string) | undefined;
  /** Absent: calls are not shown. */
  readonly token: string | undefined;
}

/** What operators are answered: `/metrics` for Prometheus, `/healthz`, and `/calls` and `/qlog` to those who have the token. */
export function operatorHandler({ metrics, health, calls, token, trace }: OperatorView): OperatorHandler {
  const list = ({ authorization }: OperatorRequest): OperatorAnswer => {
    if (token === undefined) return plainAnswer(404, 'Calls are not shown: "operatorToken" is not set.\n');
    if (!hasBearer(authorization, token)) return plainAnswer(401, UNAUTHORIZED);
    const body = `${JSON.stringify({ calls: calls.summaries() })}\n`;
    return { status: 200, contentType: 'application/json', body };
  };
  const qlog = ({ authorization, method, query }: OperatorRequest): OperatorAnswer => {
    if (token === undefined || trace === undefined)
      return plainAnswer(
        404,
        'There is no qlog on demand: "operatorToken" and "qlogOnDemand" are not both set.\n',
      );
    if (!hasBearer(authorization, token)) return plainAnswer(401, UNAUTHORIZED);
    if (method !== 'POST') return plainAnswer(405, 'A qlog is begun with POST.\n');
    const id = new URLSearchParams(query).get('session') ?? '';
    const session = calls.find(id);
    if (session === undefined) return plainAnswer(404, 'No call with this session runs here.\n');
    const begun = trace(session);
    if (typeof begun === 'string') return plainAnswer(409, `${begun}\n`);
    const body = `${JSON.stringify({ session: id, qlog: begun.path })}\n`;
    return { status: 200, contentType: 'application/json', body };
  };
  return async (request) => {
    switch (request.path) {
      case '/healthz':
        return { contentType: 'application/json', ...health() };
      case '/metrics': {
        const { registry } = metrics;
        return { status: 200, contentType: registry.contentType, body: await registry.metrics() };
      }
      case '/calls':
        return list(request);
      case '/qlog':
        return qlog(request);
      default:
        return plainAnswer(404, 'Nothing here but /metrics, /healthz, /calls and /qlog.\n');
    }
  };
}
