import { Reader, WireError } from '../wire/index.ts';

const HOST_NAME = 0;

/** What a server_name extension says: a host name, or what is wrong with it. */
export type ServerName =
  | { readonly name: string }
  /** `syntax`: its lengths do not fit; otherwise it is well-formed and means nothing. */
  | { readonly fault: string; readonly syntax: boolean };

/** Reads the body of a server_name extension (RFC 6066 §3). Never throws. */
export function parseServerName(body: Uint8Array): ServerName {
  try {
    return parse(new Reader(body));
  } catch (error) {
    if (error instanceof WireError) return { fault: error.message, syntax: true };
    throw error;
  }
}

function parse(reader: Reader): ServerName {
  const list = reader.sub(reader.u16());
  if (!reader.done) return { fault: `server_name has ${reader.remaining} octets too many`, syntax: true };
  let name: string | undefined;
  while (!list.done) {
    const type = list.u8();
    const text = list.sub(list.u16());
    if (type !== HOST_NAME || name !== undefined)
      return { fault: 'server_name has a second name', syntax: false };
    name = text.utf8(text.remaining);
  }
  if (name === undefined || name === '') return { fault: 'server_name is empty', syntax: true };
  // Printable ASCII only: the name goes into logs and certificate checks.
  if (!/^[!-~]{1,255}$/.test(name)) return { fault: 'server_name is no host name', syntax: false };
  return { name };
}
