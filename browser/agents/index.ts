/** Parley for the Agents SDK: `new RealtimeSession(agent, { transport: new ParleyTransport({ url }) })`. */
export { ParleyTransport, type ParleyTransportOptions } from './transport.ts';
