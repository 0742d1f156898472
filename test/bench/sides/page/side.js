import { parleySide } from './parley-side.js';
import { webrtcSide } from './webrtc-side.js';
import { wsSide } from './ws-side.js';

/**
 * One caller, carried by whichever of three is asked for: `prepare` connects without a microphone, `talk` talks (and connects, when
 * nothing was prepared) and gives the moment of the click in ms since 1970.
 */
const settings = await (await fetch('/settings.json')).json();
window.sides = { parley: parleySide(settings), ws: wsSide(settings), webrtc: webrtcSide(settings) };
