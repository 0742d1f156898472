import { describe } from 'vitest';
import { addressCases } from './address-cases.ts';
import { hostileCases } from './hostile-cases.ts';
import { SOCKETS } from './house.ts';
import { operationCases } from './operation-cases.ts';
import { packetCases } from './packet-cases.ts';

describe.each(SOCKETS)('over %s sockets', (socket) => {
  packetCases(socket);
  addressCases(socket);
  operationCases(socket);
  hostileCases(socket);
});
