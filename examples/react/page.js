import { useCall } from 'parley-voice/react';
import { createElement as h } from 'react';
import { createRoot } from 'react-dom/client';
import { options } from '../page.js';

function Phone() {
  const { state, muted, transcript, error, start, hangUp, setMuted, sendText } = useCall(options, {
    prepared: true,
  });
  const busy = state === 'ready' || state === 'reconnecting';
  return h(
    'main',
    null,
    h('p', { id: 'state' }, state),
    h('button', { type: 'button', id: 'talk', onClick: start, disabled: !busy && state !== 'ended' }, 'Talk'),
    h(
      'button',
      { type: 'button', id: 'mute', onClick: () => setMuted(!muted), disabled: !busy },
      muted ? 'Unmute' : 'Mute',
    ),
    h(
      'button',
      { type: 'button', id: 'text', onClick: () => sendText('Hello from React.'), disabled: !busy },
      'Say hello',
    ),
    h('button', { type: 'button', id: 'end', onClick: hangUp, disabled: !busy }, 'Hang up'),
    h(
      'ul',
      { id: 'words' },
      transcript.map(({ itemId, role, text }) => h('li', { key: itemId }, `${role}: ${text}`)),
    ),
    error && h('p', { role: 'alert' }, `${error.message} ${error.advice}`),
  );
}

createRoot(document.querySelector('#root')).render(h(Phone));
