import { now, openMicrophone } from './microphone.js';

/**
 * A page that talks by WebRTC, as OpenAI's sample does: an offer by HTTPS, the answer back, audio as tracks, events on a data channel. The
 * simplest reconnect there is: another call when the connection failed.
 */
export function webrtcSide({ webrtcUrl, tap }) {
  const heard = new Audio();
  let connection;
  let sender;
  let track;
  let dials = 0;
  let over = false;
  let closeTap;

  async function dial() {
    dials += 1;
    const made = new RTCPeerConnection();
    connection = made;
    made.ontrack = ({ track: answer }) => {
      heard.srcObject = new MediaStream([answer]);
      heard.play();
    };
    sender = made.addTransceiver(track ?? 'audio', { direction: 'sendrecv' }).sender;
    const channel = made.createDataChannel('oai-events');
    const connected = new Promise((resolve) => {
      made.onconnectionstatechange = () => {
        if (made.connectionState === 'connected') resolve();
        if (made.connectionState !== 'failed' || over) return;
        made.close();
        redial();
      };
    });
    channel.onerror = () => {};
    const offer = await made.createOffer();
    await made.setLocalDescription(offer);
    // A type that needs no preflight: what a page's own server is asked the same way costs.
    const response = await fetch(webrtcUrl, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: offer.sdp,
    });
    await made.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    await connected;
  }

  const redial = () => dial().catch(() => setTimeout(redial, 1000));

  return {
    prepare: dial,
    async talk() {
      const clickedAt = now();
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      [track] = stream.getTracks();
      // What was said, for the comparison; it is not sent.
      if (tap) closeTap = await openMicrophone(stream, () => {});
      if (connection === undefined) await dial();
      else await sender.replaceTrack(track);
      return clickedAt;
    },
    notes: () => `dialled ${dials} times, ${connection.connectionState}`,
    async hangUp() {
      over = true;
      await closeTap?.();
      connection.close();
    },
  };
}
