import { connect, pushToTalk } from 'parley-voice/browser';
import { log, options } from '../page.js';

document.querySelector('#call').onclick = () => {
  const call = connect({ ...options, muted: true });
  call.on('ready', () => {
    // The button says when a turn ends, so that the model need not guess.
    const audio = { input: { turn_detection: null } };
    call.send({ type: 'session.update', session: { type: 'realtime', audio } });
    pushToTalk(call, document.querySelector('#talk'), { key: 'Space' });
    log('Hold the button, or the space bar.');
  });
  call.on('event', (event) => log(JSON.stringify(event)));
  call.on('ended', ({ error }) => log(error ? error.message : 'The call is over.'));
};
