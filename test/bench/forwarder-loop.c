/*
 * The least that a forwarder in C does: recvmmsg, a header put before each packet or taken off, sendmmsg. It decodes nothing,
 * knows one backend, checks no tag and counts nothing. What it costs is mostly the kernel's, so that it says how much of a
 * forwarder's time is its own.
 *
 *   forwarder-loop LISTEN_PORT BACKEND_PORT PREFIX_OCTETS WORKERS SEGMENTS
 *
 * All on 127.0.0.1. PREFIX_OCTETS: the SPP header of 38 octets and what stands behind it, a tag that is not made here.
 * WORKERS processes share the port (SO_REUSEPORT), each with a port of its own towards the backend. With SEGMENTS 1 neighbours of
 * one size to one address leave as one message (UDP_SEGMENT).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { BATCH = 64, HEADROOM = 64, SLOT = 2048, SPP = 38, MAX_PREFIX = HEADROOM, MAX_MESSAGE = 65507 };
enum { SPP_CLIENT = 2, SPP_PROXY = 18, SPP_CLIENT_PORT = 34, SPP_PROXY_PORT = 36, IPV4_IN_IPV6 = 12 };

static uint8_t slots[BATCH][SLOT];
static struct sockaddr_in names[BATCH];
static struct iovec in[BATCH], out[BATCH];
static struct mmsghdr received[BATCH], sent[BATCH];
static union {
  char octets[CMSG_SPACE(sizeof(uint16_t))];
  struct cmsghdr align;
} controls[BATCH];
static int prefix, segments;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_socket(uint16_t port, int shared) {
  int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  int one = 1, octets = 4 << 20;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (descriptor < 0) fail("socket");
  if (shared && setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) fail("SO_REUSEPORT");
  setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
  setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
  if (bind(descriptor, (struct sockaddr *)&name, sizeof name) < 0) fail("bind");
  return descriptor;
}

/* Puts the header of this client before a packet. */
static void put_header(uint8_t *at, const struct sockaddr_in *client, uint16_t port) {
  memset(at, 0, prefix);
  at[0] = 0x56;
  at[1] = 0xec;
  for (int address = SPP_CLIENT; address <= SPP_PROXY; address += SPP_PROXY - SPP_CLIENT)
    memset(at + address + IPV4_IN_IPV6 - 2, 0xff, 2);
  memcpy(at + SPP_CLIENT + IPV4_IN_IPV6, &client->sin_addr, 4);
  uint32_t loopback = htonl(INADDR_LOOPBACK);
  memcpy(at + SPP_PROXY + IPV4_IN_IPV6, &loopback, 4);
  memcpy(at + SPP_CLIENT_PORT, &client->sin_port, 2);
  memcpy(at + SPP_PROXY_PORT, &port, 2);
}

static int messages;
static size_t message_octets, message_size;

/* Adds a packet to what leaves; `name` must live until then. */
static void add(int packet, uint8_t *data, size_t octets, struct sockaddr_in *name) {
  out[packet] = (struct iovec){data, octets};
  if (segments && messages > 0 && message_size > 0 && octets <= message_size && message_octets + octets <= MAX_MESSAGE) {
    struct msghdr *last = &sent[messages - 1].msg_hdr;
    const struct sockaddr_in *other = last->msg_name;
    if (other->sin_port == name->sin_port && other->sin_addr.s_addr == name->sin_addr.s_addr) {
      last->msg_iovlen++;
      last->msg_control = controls[messages - 1].octets;
      last->msg_controllen = sizeof controls[0].octets;
      struct cmsghdr *control = CMSG_FIRSTHDR(last);
      uint16_t size = (uint16_t)message_size;
      control->cmsg_level = IPPROTO_UDP;
      control->cmsg_type = UDP_SEGMENT;
      control->cmsg_len = CMSG_LEN(sizeof size);
      memcpy(CMSG_DATA(control), &size, sizeof size);
      message_octets += octets;
      if (octets < message_size) message_size = 0;
      return;
    }
  }
  sent[messages++].msg_hdr = (struct msghdr){
      .msg_name = name, .msg_namelen = sizeof *name, .msg_iov = &out[packet], .msg_iovlen = 1};
  message_octets = message_size = octets;
}

static void flush(int descriptor) {
  for (int at = 0; at < messages;) {
    int count = sendmmsg(descriptor, sent + at, messages - at, 0);
    /* What cannot be sent is dropped, as by any router. */
    at += count > 0 ? count : 1;
  }
  messages = 0;
}

static int receive(int descriptor) {
  for (int i = 0; i < BATCH; i++) {
    in[i] = (struct iovec){slots[i] + HEADROOM, SLOT - HEADROOM};
    received[i].msg_hdr =
        (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &in[i], .msg_iovlen = 1};
  }
  return recvmmsg(descriptor, received, BATCH, MSG_DONTWAIT, NULL);
}

static void run(uint16_t port, struct sockaddr_in *backend, int shared) {
  struct pollfd sockets[2] = {{.fd = open_socket(port, shared), .events = POLLIN}, {.fd = open_socket(0, 0), .events = POLLIN}};
  int clients = sockets[0].fd, tunnel = sockets[1].fd, count;
  for (;;) {
    if (poll(sockets, 2, -1) < 0) fail("poll");
    if (sockets[0].revents) do {
        count = receive(clients);
        for (int i = 0; i < count; i++) {
          uint8_t *at = slots[i] + HEADROOM - prefix;
          put_header(at, &names[i], htons(port));
          add(i, at, received[i].msg_len + prefix, backend);
        }
        flush(tunnel);
      } while (count == BATCH);
    if (sockets[1].revents) do {
        count = receive(tunnel);
        for (int i = 0; i < count; i++) {
          uint8_t *at = slots[i] + HEADROOM;
          if (received[i].msg_len <= (unsigned)prefix || at[0] != 0x56 || at[1] != 0xec) continue;
          memcpy(&names[i].sin_addr, at + SPP_CLIENT + IPV4_IN_IPV6, 4);
          memcpy(&names[i].sin_port, at + SPP_CLIENT_PORT, 2);
          add(i, at + prefix, received[i].msg_len - prefix, &names[i]);
        }
        flush(clients);
      } while (count == BATCH);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: forwarder-loop LISTEN_PORT BACKEND_PORT PREFIX_OCTETS WORKERS SEGMENTS\n");
    return 2;
  }
  uint16_t port = (uint16_t)atoi(argv[1]);
  struct sockaddr_in backend = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int workers = atoi(argv[4]);
  prefix = atoi(argv[3]);
  segments = atoi(argv[5]);
  if (prefix < SPP || prefix > MAX_PREFIX || workers < 1) return 2;
  for (int i = 1; i < workers; i++)
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      run(port, &backend, 1);
    }
  run(port, &backend, workers > 1);
}
