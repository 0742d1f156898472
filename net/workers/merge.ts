import type { OperatorAnswer } from '../operator-port.ts';

/** An answer of a worker. */
export interface WorkerAnswer {
  readonly worker: number;
  readonly answer: OperatorAnswer;
}

/** One line of a metric with a label more, the first of them. */
function labelled(line: string, label: string): string {
  const at = line.search(/[{ ]/);
  if (at < 0) return line;
  const name = line.slice(0, at);
  if (line[at] === ' ') return `${name}{${label}}${line.slice(at)}`;
  const rest = line.slice(at + 1);
  return `${name}{${label}${rest.startsWith('}') ? '' : ','}${rest}`;
}

/** Metrics of several processes in Prometheus' text form as one: each metric is described once, each sample says its worker. */
export function mergeMetrics(texts: readonly { readonly worker: number; readonly text: string }[]): string {
  const metrics = new Map<string, { readonly head: string[]; readonly samples: string[] }>();
  for (const { worker, text } of texts) {
    const label = `worker="${worker}"`;
    let current: { readonly head: string[]; readonly samples: string[] } | undefined;
    let isNew = false;
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const [, kind, name = ''] = /^# (HELP|TYPE) (\S+)/.exec(line) ?? [];
      if (kind === 'HELP') {
        isNew = !metrics.has(name);
        current = metrics.get(name) ?? { head: [], samples: [] };
        metrics.set(name, current);
      }
      if (line.startsWith('#')) {
        if (isNew) current?.head.push(line);
      } else current?.samples.push(labelled(line, label));
    }
  }
  return [...metrics.values()]
    .map(({ head, samples }) => [...head, ...samples, ''].join('\n'))
    .join('\n')
    .concat('\n');
}

/** Lists of the same name in JSON objects, joined; what is no list is the first one's. */
function mergeJson(bodies: readonly string[]): string {
  const merged: Record<string, unknown> = {};
  for (const body of bodies) {
    for (const [key, value] of Object.entries(JSON.parse(body) as Record<string, unknown>)) {
      const known = merged[key];
      if (Array.isArray(known) && Array.isArray(value)) known.push(...(value as unknown[]));
      else if (!(key in merged)) merged[key] = value;
    }
  }
  return `${JSON.stringify(merged)}\n`;
}

/**
 * What all workers answered as one answer. Metrics are merged. Of anything else the best answer counts (the lowest status): one
 * worker that takes calls makes the whole healthy, one that knows a call answers for it. Where several are as good and their
 * answers are JSON, their lists are joined.
 */
export function mergeAnswers(path: string, answers: readonly WorkerAnswer[]): OperatorAnswer {
  const [first] = answers;
  if (first === undefined)
    return { status: 503, contentType: 'text/plain; charset=utf-8', body: 'No worker runs.\n' };
  if (path === '/metrics') {
    const texts = answers.flatMap(({ worker, answer }) =>
      answer.status === 200 ? [{ worker, text: answer.body }] : [],
    );
    return { ...first.answer, status: 200, body: mergeMetrics(texts) };
  }
  const best = Math.min(...answers.map(({ answer }) => answer.status));
  const good = answers.map(({ answer }) => answer).filter(({ status }) => status === best);
  const [answer] = good as [OperatorAnswer];
  if (good.length === 1 || answer.contentType !== 'application/json' || path === '/healthz') return answer;
  return { ...answer, body: mergeJson(good.map(({ body }) => body)) };
}
