/** Parley for React. */
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { type Call, type CallError, type CallOptions, type CallState, connect, prepare } from '../index.ts';

/** A call in a component. */
export interface UseCall {
  /** The call, from the first click on. */
  readonly call: Call | undefined;
  /** `idle` before the first call. */
  readonly state: CallState | 'idle';
  readonly muted: boolean;
  readonly transcript: Call['transcript'];
  /** Why the last call failed. */
  readonly error: CallError | undefined;
  /** Calls, from a click; goes on with a prepared call. */
  start(): void;
  hangUp(): void;
  setMuted(muted: boolean): void;
  sendText(text: string): void;
}

const NOTHING: Call['transcript'] = [];
const EVENTS = ['state', 'muted', 'transcript', 'ended'] as const;

/**
 * One call of a component: it is hung up when the component goes. With `prepared` the session stands before the click. Options
 * are those of the moment in which a call begins.
 */
export function useCall(
  options: CallOptions,
  { prepared = false }: { readonly prepared?: boolean } = {},
): UseCall {
  const [call, setCall] = useState<Call>();
  const [error, setError] = useState<CallError>();
  const latest = useRef(options);
  latest.current = options;
  const begin = useCallback((make: typeof connect) => {
    const made = make(latest.current);
    setError(undefined);
    setCall(made);
    void made.ended.then((end) => setError(end.error));
    return made;
  }, []);
  useEffect(() => {
    if (!prepared) return;
    const made = begin(prepare);
    return () => void made.hangUp();
  }, [prepared, begin]);
  useEffect(() => () => void call?.hangUp(), [call]);
  const subscribe = useCallback(
    (changed: () => void) => {
      const stops = EVENTS.map((name) => call?.on(name, changed));
      return () => {
        for (const stop of stops) stop?.();
      };
    },
    [call],
  );
  const read = <T>(of: (call: Call) => T, none: T) =>
    useSyncExternalStore(
      subscribe,
      () => (call === undefined ? none : of(call)),
      () => none,
    );
  return {
    call,
    state: read<CallState | 'idle'>(({ state }) => state, 'idle'),
    muted: read(({ muted }) => muted, options.muted ?? false),
    transcript: read(({ transcript }) => transcript, NOTHING),
    error,
    start: () => {
      if (call === undefined || call.state === 'ended') begin(connect);
      else call.talk();
    },
    hangUp: () => void call?.hangUp(),
    setMuted: (muted) => (muted ? call?.mute() : call?.unmute()),
    sendText: (text) => call?.sendText(text),
  };
}
