/** The Agents SDK on the server: `onCall: (control) => new RealtimeSession(agent, { transport: new ControlTransport(control) }).connect({ apiKey: 'not used' })`. */
export { ControlTransport, type ControlTransportOptions } from './transport.ts';
