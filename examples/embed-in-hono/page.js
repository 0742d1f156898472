import { connect } from 'parley-voice/browser';
import { log, options } from '../page.js';

// Served by the app itself, which the browser sends its cookie to; asked anew for each dial.
const token = async () => {
  const response = await fetch('/token');
  if (!response.ok) throw new Error(await response.text());
  return response.text();
};

document.querySelector('#login').onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ name: document.querySelector('#name').value });
  log(await (await fetch('/login', { method: 'POST', body })).text());
};

document.querySelector('#call').onclick = () => {
  const call = connect({ ...options, token });
  call.on('event', (event) => log(JSON.stringify(event)));
  call.on('ended', ({ error }) => log(error ? error.message : 'The call is over.'));
};
