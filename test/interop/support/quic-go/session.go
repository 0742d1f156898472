package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/lucas-clemente/quic-go"
	"github.com/lucas-clemente/quic-go/quicvarint"
	"github.com/marten-seemann/qpack"
)

const (
	frameData      = 0x00
	frameHeaders   = 0x01
	frameSettings  = 0x04
	streamControl  = 0x00
	bidirectional  = 0x41
	unidirectional = 0x54
	capsuleClose   = 0x2843
	firstCode      = 0x52e4a40fa8db
)

// Settings of a WebTransport client: extended CONNECT, HTTP datagrams, WebTransport of draft-02.
var settings = []uint64{0x08, 1, 0x33, 1, 0x2b603742, 1}

// A stream error as HTTP/3 carries it, and back.
func toHTTP(code int) quic.StreamErrorCode {
	return quic.StreamErrorCode(firstCode + code + code/0x1e)
}

func fromHTTP(code quic.StreamErrorCode) int {
	shifted := int(code) - firstCode
	return shifted - shifted/0x1f
}

type session struct {
	connection quic.Connection
	request    quic.Stream
	reader     quicvarint.Reader
	incoming   chan quic.ReceiveStream
}

func appendFrame(to *bytes.Buffer, kind uint64, payload []byte) {
	quicvarint.Write(to, kind)
	quicvarint.Write(to, uint64(len(payload)))
	to.Write(payload)
}

// Dials and asks for a session at `path`; gives the status. The session stays for the calls that follow.
func (c *client) open(path string) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	config := c.tls.Clone()
	config.NextProtos = []string{"h3"}
	connection, err := quic.DialAddrContext(ctx, c.address, config, c.quic)
	if err != nil {
		return nil, err
	}
	c.connection = connection
	c.session = &session{connection: connection, incoming: make(chan quic.ReceiveStream, 100)}
	return c.session.begin(ctx, c.address, path)
}

func (s *session) begin(ctx context.Context, authority, path string) (any, error) {
	control, err := s.connection.OpenUniStream()
	if err != nil {
		return nil, err
	}
	var payload, first bytes.Buffer
	for _, part := range settings {
		quicvarint.Write(&payload, part)
	}
	quicvarint.Write(&first, streamControl)
	appendFrame(&first, frameSettings, payload.Bytes())
	if _, err := control.Write(first.Bytes()); err != nil {
		return nil, err
	}
	go s.accept()

	var block, head bytes.Buffer
	encoder := qpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", "CONNECT"}, {":protocol", "webtransport"}, {":scheme", "https"}, {":authority", authority},
		{":path", path}, {"origin", "https://localhost"}, {"sec-webtransport-http3-draft02", "1"},
	} {
		if err := encoder.WriteField(qpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return nil, err
		}
	}
	appendFrame(&head, frameHeaders, block.Bytes())
	if s.request, err = s.connection.OpenStreamSync(ctx); err != nil {
		return nil, err
	}
	if _, err := s.request.Write(head.Bytes()); err != nil {
		return nil, err
	}
	s.reader = quicvarint.NewReader(s.request)
	kind, answer, err := s.frame()
	if err != nil {
		return nil, err
	}
	if kind != frameHeaders {
		return nil, fmt.Errorf("frame %#x before the headers", kind)
	}
	fields, err := qpack.NewDecoder(nil).DecodeFull(answer)
	if err != nil {
		return nil, err
	}
	return fields[0].Value, nil
}

// The next frame of the CONNECT stream.
func (s *session) frame() (uint64, []byte, error) {
	kind, err := quicvarint.Read(s.reader)
	if err != nil {
		return 0, nil, err
	}
	length, err := quicvarint.Read(s.reader)
	if err != nil {
		return 0, nil, err
	}
	payload := make([]byte, length)
	_, err = io.ReadFull(s.reader, payload)
	return kind, payload, err
}

// Keeps the unidirectional streams of the session and lets HTTP/3's own pass.
func (s *session) accept() {
	for {
		stream, err := s.connection.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			reader := quicvarint.NewReader(stream)
			if kind, err := quicvarint.Read(reader); err != nil || kind != unidirectional {
				_, _ = io.Copy(io.Discard, stream)
				return
			}
			if _, err := quicvarint.Read(reader); err == nil {
				s.incoming <- stream
			}
		}()
	}
}

// What begins a stream of the session.
func (s *session) head(kind uint64) []byte {
	var head bytes.Buffer
	quicvarint.Write(&head, kind)
	quicvarint.Write(&head, uint64(s.request.StreamID()))
	return head.Bytes()
}

func (s *session) openStream() (quic.Stream, error) {
	stream, err := s.connection.OpenStreamSync(context.Background())
	if err != nil {
		return nil, err
	}
	_, err = stream.Write(s.head(bidirectional))
	return stream, err
}

// Sends random octets on a stream of that kind and reads what comes back, to its end.
func (s *session) echo(kind string, octets int) (any, error) {
	sent := make([]byte, octets)
	if _, err := rand.Read(sent); err != nil {
		return nil, err
	}
	var to io.WriteCloser
	var from func() io.Reader
	if kind == "uni" {
		stream, err := s.connection.OpenUniStreamSync(context.Background())
		if err != nil {
			return nil, err
		}
		if _, err := stream.Write(s.head(unidirectional)); err != nil {
			return nil, err
		}
		to, from = stream, func() io.Reader { return <-s.incoming }
	} else {
		stream, err := s.openStream()
		if err != nil {
			return nil, err
		}
		to, from = stream, func() io.Reader { return stream }
	}
	writing := make(chan error, 1)
	go func() {
		_, err := to.Write(sent)
		if err == nil {
			err = to.Close()
		}
		writing <- err
	}()
	hash := sha256.New()
	length, err := io.Copy(hash, from())
	if err == nil {
		err = <-writing
	}
	before := sha256.Sum256(sent)
	return map[string]any{
		"octets": length, "sent": hex.EncodeToString(before[:]), "received": hex.EncodeToString(hash.Sum(nil)), "ended": err == nil,
	}, err
}

// Numbered datagrams one after the other; gives how many came back unchanged.
func (s *session) datagrams(count, octets int) (any, error) {
	unchanged := 0
	for i := 0; i < count; i++ {
		var datagram bytes.Buffer
		quicvarint.Write(&datagram, uint64(s.request.StreamID())/4)
		body := make([]byte, octets)
		if _, err := rand.Read(body); err != nil {
			return nil, err
		}
		datagram.Write(body)
		if err := s.connection.SendMessage(datagram.Bytes()); err != nil {
			return nil, err
		}
		back, err := s.connection.ReceiveMessage()
		if err != nil {
			return nil, err
		}
		if bytes.Equal(back, datagram.Bytes()) {
			unchanged++
		}
	}
	return map[string]any{"unchanged": unchanged}, nil
}

// A stream that has been echoed once.
func (s *session) lively() (quic.Stream, error) {
	stream, err := s.openStream()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write(make([]byte, 10)); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(stream, make([]byte, 10))
	return stream, err
}

func codeOf(err error) (any, error) {
	var failure *quic.StreamError
	if !errors.As(err, &failure) {
		return nil, fmt.Errorf("no stream error: %v", err)
	}
	return map[string]any{"code": fromHTTP(failure.ErrorCode)}, nil
}

// Resets a stream that the server echoes; gives the code with which its half is reset.
func (s *session) reset(code int) (any, error) {
	stream, err := s.lively()
	if err != nil {
		return nil, err
	}
	stream.CancelWrite(toHTTP(code))
	_, err = io.Copy(io.Discard, stream)
	return codeOf(err)
}

// Stops the echo of a stream; gives the code with which ours is stopped.
func (s *session) stop(code int) (any, error) {
	stream, err := s.lively()
	if err != nil {
		return nil, err
	}
	stream.CancelRead(toHTTP(code))
	<-stream.Context().Done()
	_, err = stream.Write([]byte{0})
	return codeOf(err)
}

// Closes the session with a capsule.
func (s *session) close(code int, reason string) error {
	var value, capsule, frame bytes.Buffer
	if err := binary.Write(&value, binary.BigEndian, uint32(code)); err != nil {
		return err
	}
	value.WriteString(reason)
	appendFrame(&capsule, capsuleClose, value.Bytes())
	appendFrame(&frame, frameData, capsule.Bytes())
	if _, err := s.request.Write(frame.Bytes()); err != nil {
		return err
	}
	return s.request.Close()
}

// Begins a control stream of the voice protocol with octets that it may not begin with; gives how the server closes the session.
func (s *session) closed() (any, error) {
	stream, err := s.openStream()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte("\x07{\"a\":1}")); err != nil {
		return nil, err
	}
	var capsules bytes.Buffer
	for {
		kind, payload, err := s.frame()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if kind == frameData {
			capsules.Write(payload)
		}
	}
	for capsules.Len() > 0 {
		kind, err := quicvarint.Read(&capsules)
		if err != nil {
			return nil, err
		}
		length, err := quicvarint.Read(&capsules)
		if err != nil {
			return nil, err
		}
		value := capsules.Next(int(length))
		if kind == capsuleClose && len(value) >= 4 {
			return map[string]any{"closeCode": binary.BigEndian.Uint32(value), "reason": string(value[4:])}, nil
		}
	}
	return nil, errors.New("the session ended without a capsule that says why")
}
