/** What is used of a call. */
export interface PushToTalkCall {
  mute(): void;
  unmute(): void;
  send(event: { readonly type: string }): void;
}

/** How the caller presses. */
export interface PushToTalkOptions {
  /** A key that does the same as the button, as `KeyboardEvent.code` names it, such as `Space`. */
  readonly key?: string;
  /** With turn detection off the release ends the turn and asks for an answer. Default true. */
  readonly answers?: boolean;
  /** Hears whether it is pressed. */
  readonly onChange?: (pressed: boolean) => void;
}

/** Lets the caller be heard only while the button is pressed. The call should begin muted. Returns the way to stop it. */
export function pushToTalk(
  call: PushToTalkCall,
  button: HTMLElement,
  options: PushToTalkOptions = {},
): () => void {
  const { key, answers = true, onChange } = options;
  let pressed = false;
  const press = () => {
    if (pressed) return;
    pressed = true;
    call.unmute();
    onChange?.(true);
  };
  const release = () => {
    if (!pressed) return;
    pressed = false;
    call.mute();
    if (answers) {
      call.send({ type: 'input_audio_buffer.commit' });
      call.send({ type: 'response.create' });
    }
    onChange?.(false);
  };
  const off = new AbortController();
  const { signal } = off;
  button.addEventListener(
    'pointerdown',
    (event) => {
      // The release is heard wherever the pointer is by then.
      button.setPointerCapture?.(event.pointerId);
      press();
    },
    { signal },
  );
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture'] as const)
    button.addEventListener(name, release, { signal });
  const ofKey = (action: () => void) => (event: KeyboardEvent) => {
    if (event.code !== key || event.repeat || isTyping(event.target)) return;
    event.preventDefault();
    action();
  };
  if (key !== undefined) {
    globalThis.addEventListener('keydown', ofKey(press), { signal });
    globalThis.addEventListener('keyup', ofKey(release), { signal });
  }
  globalThis.addEventListener('blur', release, { signal });
  return () => {
    off.abort();
    release();
  };
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(?:input|textarea|select)$/i.test(target.tagName))
  );
}
