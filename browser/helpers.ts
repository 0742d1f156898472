/** What stands beside a call: loaded when a page asks for any of it (`on-demand.ts`). */
export { listDevices, watchDevices } from './devices.ts';
export { keepAwake } from './keep-awake.ts';
export { pushToTalk } from './push-to-talk.ts';
export { comfortTone, cueSounds } from './sounds.ts';
