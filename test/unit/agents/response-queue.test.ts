import { expect, test } from 'vitest';
import { ResponseQueue } from '../../../proto/voice/response-queue.ts';

function queue() {
  const sent: unknown[] = [];
  return { sent, responses: new ResponseQueue((request) => sent.push(request)) };
}
const CREATE = { type: 'response.create' } as const;

test('one response at a time: what is asked for meanwhile comes after it, and alike requests are one', () => {
  const { sent, responses } = queue();
  responses.request(CREATE);
  responses.request(CREATE);
  responses.request(CREATE);
  responses.request({ ...CREATE, response: { instructions: 'Be kind.' } });
  expect(sent).toEqual([CREATE]);
  responses.event({ type: 'response.created' });
  expect(responses.interruptible).toBe(true);
  responses.event({ type: 'response.done' });
  expect(sent).toEqual([CREATE, CREATE]);
  responses.event({ type: 'response.created' });
  responses.event({ type: 'response.done' });
  expect(sent.at(-1)).toEqual({ ...CREATE, response: { instructions: 'Be kind.' } });
  expect(responses.interruptible).toBe(false);
});

test('a response that began by itself is waited for; one that was cancelled is not cancelled twice', () => {
  const { sent, responses } = queue();
  responses.event({ type: 'response.created' });
  responses.request(CREATE);
  expect(sent).toEqual([]);
  responses.cancel();
  expect(responses.interruptible).toBe(false);
  responses.event({ type: 'response.done' });
  expect(sent).toEqual([CREATE]);
});

test('a request that the API refused holds up no other; other errors do not count', () => {
  const { sent, responses } = queue();
  responses.request(CREATE);
  responses.request({ ...CREATE, response: { a: 1 } });
  responses.event({ type: 'error', error: { code: 'invalid_value', message: 'no such voice' } });
  expect(sent).toHaveLength(1);
  responses.event({ type: 'error', error: { code: 'conversation_already_has_active_response' } });
  expect(sent).toHaveLength(2);
});

test('what waits is bounded, and forgotten at the end', () => {
  const { sent, responses } = queue();
  responses.event({ type: 'response.created' });
  for (let i = 0; i < 100; i++) responses.request({ ...CREATE, response: { i } });
  for (let i = 0; i < 100; i++) {
    responses.event({ type: 'response.done' });
    responses.event({ type: 'response.created' });
  }
  expect(sent).toHaveLength(64);
  responses.request(CREATE);
  responses.clear();
  responses.event({ type: 'response.done' });
  expect(sent).toHaveLength(64);
});

test('events of an SDK: requests wait, what cancels frees nothing by itself, and a session keeps its model', () => {
  const { sent, responses } = queue();
  responses.event({ type: 'response.created' });
  responses.send(CREATE);
  responses.send({ type: 'response.cancel' });
  expect(responses.interruptible).toBe(false);
  responses.send({ type: 'session.update', session: { model: 'gpt-realtime', voice: 'marin' } });
  responses.event({ type: 'response.done' });
  expect(sent).toEqual([
    { type: 'response.cancel' },
    { type: 'session.update', session: { voice: 'marin' } },
    CREATE,
  ]);
});
