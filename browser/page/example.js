import { connect } from './parley.js';

const log = (line) => document.querySelector('#log').append(`${line}\n`);
let call;

document.querySelector('#call').onclick = async () => {
  if (call && call.state !== 'ended') return call.hangUp();
  const settings = await (await fetch('/config.json')).json(); // { url: 'https://voice.example:4433/voice' }
  const token = async () => (await fetch(settings.tokenUrl)).text(); // signed by your own server, for who is signed in
  call = connect(settings.tokenUrl ? { ...settings, token } : settings);
  call.on('event', (event) => log(event.type)); // every event of the Realtime API, as it came
  call.on('ended', ({ error }) => log(error ? `${error.message} ${error.advice}` : 'The call is over.'));
  call.on('ready', () => giveTools(call));
};

/** Functions that the model may call: events of the Realtime API go there and come from there as they are. */
function giveTools(call) {
  const parameters = { type: 'object', properties: {} };
  const tools = [{ type: 'function', name: 'what_time', description: 'The time of day', parameters }];
  call.send({ type: 'session.update', session: { type: 'realtime', instructions: 'Be brief.', tools } });
  call.on('event', ({ type, response }) => {
    // A response that was spoken over, or failed, may hold half a call: it is not answered.
    const done = type === 'response.done' && response.status === 'completed';
    const asked = done ? response.output.filter((item) => item.type === 'function_call') : [];
    for (const { call_id } of asked) {
      const item = { type: 'function_call_output', call_id, output: new Date().toTimeString() };
      call.send({ type: 'conversation.item.create', item });
    }
    if (asked.length > 0) call.send({ type: 'response.create' });
  });
}
