export { choosePacketCiphers } from './packet-ciphers.ts';
export { selfTest } from './self-test.ts';
