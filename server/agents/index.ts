/** The Agents SDK on the server: `onCall: (call) => new RealtimeSession(agent, { transport: new ControlTransport(call) }).connect({ apiKey: 'not used' })`. */
export { ControlTransport, type ControlTransportOptions } from './transport.ts';
