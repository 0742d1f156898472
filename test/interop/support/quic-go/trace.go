package main

import (
	"context"
	"sync"

	"github.com/lucas-clemente/quic-go/logging"
)

// What quic-go says that it saw and did, over all connections.
type seen struct {
	Retries             int      `json:"retries"`
	VersionNegotiations int      `json:"versionNegotiations"`
	Versions            []uint32 `json:"versions"`
	// Updates of keys that a packet of the peer has confirmed, by who began them.
	KeyUpdates      int    `json:"keyUpdates"`
	PeersKeyUpdates int    `json:"peersKeyUpdates"`
	EarlyPackets    int    `json:"earlyPackets"`
	PathChallenges  int    `json:"pathChallenges"`
	LargestInitial  int    `json:"largestInitialCryptoOffset"`
	HandshakesDone  int    `json:"handshakesDone"`
	TicketsAllowed  int    `json:"tickets"`
	LastClose       string `json:"lastClose"`
}

type trace struct {
	logging.NullTracer
	mutex sync.Mutex
	seen  seen
}

func newTrace() *trace { return &trace{} }

func (t *trace) snapshot() seen {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.seen
}

func (t *trace) note(change func(*seen)) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	change(&t.seen)
}

func (t *trace) TracerForConnection(context.Context, logging.Perspective, logging.ConnectionID) logging.ConnectionTracer {
	return &connectionTrace{trace: t}
}

type connectionTrace struct {
	logging.NullConnectionTracer
	trace *trace
}

func (c *connectionTrace) ReceivedRetry(*logging.Header) { c.trace.note(func(s *seen) { s.Retries++ }) }

func (c *connectionTrace) ReceivedVersionNegotiationPacket(*logging.Header, []logging.VersionNumber) {
	c.trace.note(func(s *seen) { s.VersionNegotiations++ })
}

func (c *connectionTrace) NegotiatedVersion(chosen logging.VersionNumber, _, _ []logging.VersionNumber) {
	c.trace.note(func(s *seen) { s.Versions = append(s.Versions, uint32(chosen)) })
}

func (c *connectionTrace) UpdatedKey(_ logging.KeyPhase, remote bool) {
	c.trace.note(func(s *seen) {
		if remote {
			s.PeersKeyUpdates++
		} else {
			s.KeyUpdates++
		}
	})
}

func (c *connectionTrace) ClosedConnection(err error) {
	c.trace.note(func(s *seen) { s.LastClose = err.Error() })
}

func (c *connectionTrace) SentPacket(header *logging.ExtendedHeader, _ logging.ByteCount, _ *logging.AckFrame, frames []logging.Frame) {
	kind := logging.PacketTypeFromHeader(&header.Header)
	c.trace.note(func(s *seen) {
		if kind == logging.PacketType0RTT {
			s.EarlyPackets++
		}
		for _, frame := range frames {
			if crypto, ok := frame.(*logging.CryptoFrame); ok && kind == logging.PacketTypeInitial && int(crypto.Offset) > s.LargestInitial {
				s.LargestInitial = int(crypto.Offset)
			}
		}
	})
}

func (c *connectionTrace) ReceivedPacket(_ *logging.ExtendedHeader, _ logging.ByteCount, frames []logging.Frame) {
	c.trace.note(func(s *seen) {
		for _, frame := range frames {
			switch frame.(type) {
			case *logging.PathChallengeFrame:
				s.PathChallenges++
			case *logging.HandshakeDoneFrame:
				s.HandshakesDone++
			}
		}
	})
}
