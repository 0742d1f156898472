"""One end of a bulk download over the kernel's TCP: `serve PORT CONTROL SECONDS`, which sends, or `get HOST PORT SKIP SECONDS`, which
prints the octets that came in SECONDS behind the first SKIP."""

import socket
import sys
import time

role, *args = sys.argv[1:]
if role == "serve":
    port, control, seconds = int(args[0]), args[1], float(args[2])
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
    listener.bind(("", port))
    listener.listen()
    print("ready", flush=True)
    peer, _ = listener.accept()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            peer.sendall(bytes(16384))
    except OSError:
        pass
else:
    host, port, skip, seconds = args[0], int(args[1]), float(args[2]), float(args[3])
    peer = socket.create_connection((host, port), timeout=60)
    begin = time.monotonic() + skip
    octets = 0
    while time.monotonic() < begin + seconds:
        came = len(peer.recv(65536))
        if came == 0:
            break
        if time.monotonic() >= begin:
            octets += came
    print(octets, flush=True)
