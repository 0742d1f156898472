"""Carries IP packets between two network namespaces, with delay, loss, rate and outages: UDP and TCP meet the same path.

Started by index.ts as root, with the conditions as JSON. Makes the namespaces, each with a TUN device, says `ready`, and takes commands as
JSON, one a line, on standard input; each is answered by a line. Removes the namespaces when standard input ends, or on SIGTERM.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
MTU = 1500
READ_OCTETS = 2048
# Packets read from one side before the other has its turn.
READS_PER_TURN = 256
# Packets on their way, both directions together: beyond it they are lost, so that memory is bounded.
MAX_PACKETS = 100_000


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def open_tun(namespace, address):
    """The namespace's TUN device. The descriptor serves from outside it as well."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(there, CLONE_NEWNET) != 0:
        raise SystemExit(f"setns: {os.strerror(ctypes.get_errno())}")
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"path0", IFF_TUN_NO_PI))
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)
    ip("-n", namespace, "addr", "add", f"{address}/32", "dev", "path0")
    # IPv4 only: no packets of IPv6's own mix with those of a test.
    ip("-n", namespace, "link", "set", "path0", "addrgenmode", "none")
    ip("-n", namespace, "link", "set", "path0", "mtu", str(MTU), "txqueuelen", "2000", "up")
    ip("-n", namespace, "link", "set", "lo", "up")
    ip("-n", namespace, "route", "add", "default", "dev", "path0")
    return tun


class Direction:
    """One way of the path: what its packets meet."""

    def __init__(self, conditions, seed):
        self.conditions = conditions
        self.random = random.Random(seed)
        self.losing = 0
        self.busy_until = 0.0
        self.out_until = 0.0
        self.packets = self.lost = self.octets = 0

    def arrives_at(self, octets, now):
        """When a packet arrives, or None for one that is lost."""
        wanted = self.conditions
        self.packets += 1
        self.octets += octets
        # Drawn for every packet, so that one condition does not shift what another draws.
        loss, jitter = self.random.random(), self.random.random()
        if now < self.out_until or self.is_lost(loss):
            self.lost += 1
            return None
        at = now + (wanted["delayMs"] + jitter * wanted["jitterMs"]) / 1000
        if wanted["rateKbit"] > 0:
            begin = max(now, self.busy_until)
            if (begin - now) * 1000 > wanted["queueMs"]:
                self.lost += 1
                return None
            self.busy_until = begin + octets * 8 / (wanted["rateKbit"] * 1000)
            at += self.busy_until - now
        return at

    def is_lost(self, drawn):
        rate, burst = self.conditions["lossRate"], self.conditions["burst"]
        if rate >= 1:
            return True
        if self.losing > 0:
            self.losing -= 1
            return True
        # A burst begins so often that the share of lost packets is `rate` in all.
        if rate <= 0 or drawn >= rate / (burst * (1 - rate) + rate):
            return False
        self.losing = burst - 1
        return True

    def figures(self):
        return {"packets": self.packets, "lost": self.lost, "octets": self.octets}


class Path:
    def __init__(self, tuns, conditions, seed):
        self.tuns = tuns
        self.conditions = conditions
        self.directions = [Direction(conditions, seed * 2 + side) for side in (0, 1)]
        self.queue = []
        self.count = 0

    def command(self, text):
        wanted = json.loads(text)
        self.conditions.update(wanted.get("set", {}))
        if "outageMs" in wanted:
            for direction in self.directions:
                direction.out_until = time.monotonic() + wanted["outageMs"] / 1000
        left, right = self.directions
        return {"id": wanted["id"], "toRight": left.figures(), "toLeft": right.figures()}

    def read(self, side):
        tun, direction = self.tuns[side], self.directions[side]
        for _ in range(READS_PER_TURN):
            try:
                packet = os.read(tun, READ_OCTETS)
            except BlockingIOError:
                return
            at = direction.arrives_at(len(packet), time.monotonic())
            if at is None:
                continue
            if len(self.queue) >= MAX_PACKETS:
                direction.lost += 1
                continue
            self.count += 1
            heapq.heappush(self.queue, (at, self.count, 1 - side, packet))

    def deliver(self):
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            _, _, side, packet = heapq.heappop(self.queue)
            try:
                os.write(self.tuns[side], packet)
            except OSError:
                # The other end takes none now: as a host does whose buffer is full.
                pass

    def run(self):
        waiting = b""
        while True:
            timeout = max(0, self.queue[0][0] - time.monotonic()) if self.queue else None
            ready = select.select([*self.tuns, 0], [], [], timeout)[0]
            for side, tun in enumerate(self.tuns):
                if tun in ready:
                    self.read(side)
            self.deliver()
            if 0 not in ready:
                continue
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                print(json.dumps(self.command(line)), flush=True)


def main():
    plan = json.loads(sys.argv[1])
    ends = [plan["left"], plan["right"]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    made = []
    try:
        for end in ends:
            ip("netns", "add", end["namespace"])
            made.append(end["namespace"])
        tuns = [open_tun(end["namespace"], end["address"]) for end in ends]
        print("ready", flush=True)
        Path(tuns, plan["conditions"], plan["seed"]).run()
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL)


main()
