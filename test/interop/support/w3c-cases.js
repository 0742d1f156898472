// What a WebTransport client of the W3C's shape is put through. Runs as it is in a page of Chromium and in Deno: each
// function takes and gives JSON, and sessions stay here, named by a number.
const sessions = [];
/** The last upload of each session. */
const uploads = [];
/** The last reader that `takeReader` took, of each session. */
const readers = [];
const hex = (buffer) =>
  Array.from(new Uint8Array(buffer), (octet) => octet.toString(16).padStart(2, '0')).join('');
const sha256 = async (octets) => hex(await crypto.subtle.digest('SHA-256', octets));
const CHUNK = 65_536;

function randomOctets(length) {
  const octets = new Uint8Array(length);
  for (let at = 0; at < length; at += CHUNK)
    crypto.getRandomValues(octets.subarray(at, Math.min(at + CHUNK, length)));
  return octets;
}

function dial(url, hash, options = {}) {
  const value = Uint8Array.from(hash.match(/../g), (pair) => Number.parseInt(pair, 16));
  const serverCertificateHashes = [{ algorithm: 'sha-256', value }];
  const session = new WebTransport(url, { serverCertificateHashes, ...options });
  session.closed.catch(() => {}); // looked at by `closed` alone
  return session;
}

/** Gives the writer, so that a client that cannot end a stream can reset it. */
async function writeAll(writable, octets) {
  const writer = writable.getWriter();
  for (let at = 0; at < octets.length; at += CHUNK) await writer.write(octets.subarray(at, at + CHUNK));
  return writer;
}

/** Reads until `length` octets came and, if asked for, the end of the stream. */
async function readAll(readable, length, untilEnd) {
  const received = new Uint8Array(length);
  const reader = readable.getReader();
  let at = 0;
  let ended = false;
  while (!ended && (untilEnd || at < length)) {
    const { value, done } = await reader.read();
    if (done) ended = true;
    else {
      if (at + value.length > length) throw new Error(`more than ${length} octets came back`);
      received.set(value, at);
      at += value.length;
    }
  }
  reader.releaseLock();
  return { received: received.subarray(0, at), ended };
}

async function readToEnd(readable) {
  const parts = [];
  const reader = readable.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    parts.push(value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function compared(sent, { received, ended }) {
  return { octets: received.length, sent: await sha256(sent), received: await sha256(received), ended };
}

/** Chromium still takes the one argument of older drafts. */
function streamError(code) {
  try {
    return new WebTransportError('interop', { source: 'stream', streamErrorCode: code });
  } catch {
    return new WebTransportError({ message: 'interop', streamErrorCode: code });
  }
}
const codeOf = (work) =>
  work.then(
    () => ({ error: 'it did not fail' }),
    (error) => ({ code: error.streamErrorCode, source: error.source, error: String(error) }),
  );

globalThis.interop = {
  async open({ url, hash }) {
    const session = dial(url, hash);
    await session.ready;
    return sessions.push(session) - 1;
  },

  /** Offers application protocols; gives the one that was agreed on. */
  async agree({ url, hash, protocols }) {
    const session = dial(url, hash, { protocols });
    await session.ready;
    return session.protocol;
  },

  async openFails({ url, hash }) {
    return dial(url, hash).ready.then(
      () => 'ready',
      (error) => `refused: ${error.message}`,
    );
  },

  async echoBidirectional({ id, octets, untilEnd }) {
    const sent = randomOctets(octets);
    const stream = await sessions[id].createBidirectionalStream();
    const writing = writeAll(stream.writable, sent).then((writer) => {
      if (untilEnd) writer.close().catch(() => {});
      return writer;
    });
    const [answer, writer] = await Promise.all([readAll(stream.readable, octets, untilEnd), writing]);
    // Deno's close sends no FIN (denoland/deno#36822), and a stream that never ends counts against the limit: reset it.
    if (!untilEnd) await writer.abort(streamError(0)).catch(() => {});
    return compared(sent, answer);
  },

  async echoUnidirectional({ id, octets, untilEnd }) {
    const sent = randomOctets(octets);
    const incoming = sessions[id].incomingUnidirectionalStreams.getReader();
    const writer = await writeAll(await sessions[id].createUnidirectionalStream(), sent);
    if (untilEnd) writer.close().catch(() => {});
    const { value } = await incoming.read();
    incoming.releaseLock();
    return compared(sent, await readAll(value, octets, untilEnd));
  },

  /** `count` streams, 20 at a time; how many came back unchanged. */
  async manyStreams({ id, count, octets, untilEnd }) {
    let left = count;
    let unchanged = 0;
    const worker = async () => {
      while (left > 0) {
        left -= 1;
        const seen = await interop.echoBidirectional({ id, octets, untilEnd });
        if (seen.sent === seen.received) unchanged += 1;
      }
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    return unchanged;
  },

  /** `count` streams asked for in one breath: how many came back unchanged, and what the others failed with. */
  async streamsAtOnce({ id, count, octets }) {
    const one = async () => {
      const { sent, received } = await interop.echoBidirectional({ id, octets, untilEnd: true });
      if (sent !== received) throw new Error('what came back is not what was sent');
    };
    const outcomes = await Promise.allSettled(Array.from({ length: count }, one));
    const failures = outcomes
      .filter(({ reason }) => reason !== undefined)
      .map(({ reason }) => String(reason));
    return { echoed: count - failures.length, failures: [...new Set(failures)] };
  },

  /** Numbered datagrams, one after the other; how many came back unchanged. */
  async datagrams({ id, count, octets }) {
    const { datagrams } = sessions[id];
    const writer = (datagrams.createWritable ? datagrams.createWritable() : datagrams.writable).getWriter();
    const reader = datagrams.readable.getReader();
    let unchanged = 0;
    for (let number = 0; number < count; number++) {
      const sent = randomOctets(octets);
      await writer.write(sent);
      const { value } = await reader.read();
      if (hex(value) === hex(sent)) unchanged += 1;
    }
    reader.releaseLock();
    writer.releaseLock();
    return { unchanged, largest: datagrams.maxDatagramSize };
  },

  /** Resets a stream that the server echoes: the server's half must be reset with the same code. */
  async reset({ id, code }) {
    const stream = await sessions[id].createBidirectionalStream();
    const writer = stream.writable.getWriter();
    const reader = stream.readable.getReader();
    await writer.write(new Uint8Array(10));
    await reader.read();
    const failed = codeOf(reader.read());
    await writer.abort(streamError(code));
    return failed;
  },

  /**
   * Stops the echo of a stream: the server must stop ours with the same code. Chromium now and then tells of the broken
   * pipe to its network process before it tells of the code, so an end without any code does not count, up to five times.
   */
  async stop({ id, code }) {
    let seen;
    for (let attempt = 0; attempt < 5 && seen?.code == null; attempt++) {
      const stream = await sessions[id].createBidirectionalStream();
      const writer = stream.writable.getWriter();
      const reader = stream.readable.getReader();
      await writer.write(new Uint8Array(10));
      await reader.read();
      const failed = codeOf(writer.closed);
      await reader.cancel(streamError(code));
      const inVain = new Promise((resolve) => setTimeout(() => resolve({ error: 'never stopped' }), 3000));
      seen = await Promise.race([failed, inVain]);
    }
    return seen;
  },

  /** Takes a stream that the server opened, reads it to its end, and sends it back on `bidirectional` ones. */
  async takeStream({ id, bidirectional }) {
    const session = sessions[id];
    const incoming = bidirectional
      ? session.incomingBidirectionalStreams
      : session.incomingUnidirectionalStreams;
    const reader = incoming.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    const octets = await readToEnd(bidirectional ? value.readable : value);
    if (bidirectional) (await writeAll(value.writable, octets)).close().catch(() => {});
    return { octets: octets.length, received: await sha256(octets) };
  },

  /** Takes a stream of the server and its first octets, for `readFails`. */
  async takeReader({ id }) {
    const incoming = sessions[id].incomingUnidirectionalStreams.getReader();
    const { value } = await incoming.read();
    incoming.releaseLock();
    readers[id] = value.getReader();
    await readers[id].read();
    return true;
  },

  /** Reads on until it fails; gives the code. */
  readFails({ id }) {
    return codeOf(readers[id].read());
  },

  /** Writes until the server stops the stream; gives the code. */
  async writeFails({ id }) {
    const writer = (await sessions[id].createUnidirectionalStream()).getWriter();
    // The code must not wait for a write that fails first, with less to say.
    const closed = codeOf(writer.closed);
    for (let i = 0; i < 10_000; i++) {
      if (
        !(await writer.write(new Uint8Array(1000)).then(
          () => true,
          () => false,
        ))
      )
        break;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return closed;
  },

  /** Begins to write, and is not waited for: `uploaded` tells how far it came, and what it was at the end. */
  async upload({ id, octets }) {
    const sent = randomOctets(octets);
    const state = { accepted: 0, done: false, sent: await sha256(sent) };
    uploads[id] = state;
    const writer = (await sessions[id].createUnidirectionalStream()).getWriter();
    state.writer = writer;
    (async () => {
      for (let at = 0; at < octets; at += CHUNK) {
        await writer.ready;
        await writer.write(sent.subarray(at, at + CHUNK));
        state.accepted = Math.min(at + CHUNK, octets);
      }
      state.done = true;
      await writer.close();
    })().catch((error) => {
      state.error = String(error);
    });
    return state.sent;
  },

  uploaded({ id }) {
    const { accepted, done, error } = uploads[id];
    return { accepted, done, error };
  },

  async abortUpload({ id, code }) {
    await uploads[id].writer.abort(streamError(code));
    return true;
  },

  maxDatagramSize({ id }) {
    return sessions[id].datagrams.maxDatagramSize;
  },

  /** Reads an echo into a buffer of its own, in pieces of at most 1000 octets. */
  async readsIntoOwnBuffer({ id, octets }) {
    const sent = randomOctets(octets);
    const stream = await sessions[id].createBidirectionalStream();
    await writeAll(stream.writable, sent);
    const reader = stream.readable.getReader({ mode: 'byob' });
    const received = new Uint8Array(octets);
    let at = 0;
    let largest = 0;
    let buffer = new ArrayBuffer(1000);
    while (at < octets) {
      const { value, done } = await reader.read(new Uint8Array(buffer));
      if (done) break;
      received.set(value, at);
      at += value.length;
      largest = Math.max(largest, value.length);
      buffer = value.buffer;
    }
    return { largest, ...(await compared(sent, { received: received.subarray(0, at), ended: false })) };
  },

  close({ id, closeCode, reason }) {
    sessions[id].close({ closeCode, reason });
    return true;
  },

  closed({ id }) {
    return sessions[id].closed.then(
      ({ closeCode, reason }) => ({ closeCode, reason }),
      (error) => ({ error: String(error) }),
    );
  },

  /** Sends octets that no voice session may begin with; gives how the server closed it. */
  async malformedVoice({ url, hash }) {
    const session = dial(url, hash);
    await session.ready;
    const stream = await session.createBidirectionalStream();
    const writer = stream.writable.getWriter();
    await writer.write(new TextEncoder().encode('\x07{"a":1}'));
    const { closeCode, reason } = await session.closed;
    return { closeCode, reason };
  },
};
