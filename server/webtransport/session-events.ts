import type { WebTransportEvent } from '../../proto/webtransport/index.ts';
import type { Session } from './session.ts';

/** Gives an event of the machine to a session whose streams and datagrams it is about; what is about no session is left alone. */
export function passToSession(session: Session, event: WebTransportEvent): void {
  switch (event.type) {
    case 'streamOpened':
      session.streamOpened(event.streamId, event.direction);
      break;
    case 'streamReadable':
      session.streamReadable(event.streamId);
      break;
    case 'streamWritable':
      session.streamWritable(event.streamId);
      break;
    case 'streamFinished':
      session.streamFinished(event.streamId);
      break;
    case 'streamReset':
      session.streamReset(event.streamId, event.code ?? null);
      break;
    case 'streamStopped':
      session.streamStopped(event.streamId, event.code ?? null);
      break;
    case 'streamsAvailable':
      session.streamsAvailable(event.direction);
      break;
    case 'datagram':
      session.datagram(event.data);
      break;
    case 'sessionDraining':
      session.drainingReceived();
      break;
    default: // of a connection, or of a session's beginning and end
  }
}
