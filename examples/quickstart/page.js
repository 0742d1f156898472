import { connect } from 'parley-voice/browser';
import { log, options } from '../page.js';

let call;
document.querySelector('#call').onclick = () => {
  if (call && call.state !== 'ended') return call.hangUp();
  call = connect(options);
  call.on('event', (event) => log(JSON.stringify(event)));
  call.on('ended', ({ error }) => log(error ? `${error.message} ${error.advice}` : 'The call is over.'));
};
