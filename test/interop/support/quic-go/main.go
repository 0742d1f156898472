// A client of quic-go that a test drives: takes one call per line of JSON on stdin, answers each with a line on stdout.
// HTTP/3 is quic-go's own; for WebTransport, which its HTTP/3 leaves to another library, session.go frames by itself.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/lucas-clemente/quic-go"
	"github.com/lucas-clemente/quic-go/http3"
	_ "github.com/lucas-clemente/quic-go/logging"
)

// After so many packets quic-go updates its keys: a variable "for testing purposes", in a package that only its own tests may import.
//
//go:linkname keyUpdateInterval github.com/lucas-clemente/quic-go/internal/handshake.KeyUpdateInterval
var keyUpdateInterval uint64

const timeout = 30 * time.Second

type client struct {
	address    string
	tls        *tls.Config
	quic       *quic.Config
	trace      *trace
	transport  *http3.RoundTripper
	connection quic.Connection
	session    *session
}

type input struct {
	Count, Octets, Code int
	Path, Kind, Reason  string
	Early               bool
}

// Splits a list of the command line into numbers.
func numbers(list string) []uint32 {
	var all []uint32
	for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		number, err := strconv.ParseUint(part, 0, 32)
		if err != nil {
			panic(err)
		}
		all = append(all, uint32(number))
	}
	return all
}

func main() {
	address := flag.String("address", "", "host and port to dial")
	root := flag.String("root", "", "the trusted certificate, PEM")
	curves := flag.String("curves", "", "named groups by number, a key share for the first")
	versions := flag.String("versions", "1", "QUIC versions by number, the first one is tried first")
	window := flag.Uint64("window", 0, "flow-control window of a stream, in octets")
	flag.Uint64Var(&keyUpdateInterval, "key-update", 100_000, "packets after which keys are updated")
	flag.Parse()

	pem, err := os.ReadFile(*root)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		panic("no certificate in " + *root)
	}
	c := &client{address: *address, trace: newTrace()}
	c.tls = &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	for _, curve := range numbers(*curves) {
		c.tls.CurvePreferences = append(c.tls.CurvePreferences, tls.CurveID(curve))
	}
	c.quic = &quic.Config{Tracer: c.trace, HandshakeIdleTimeout: 15 * time.Second, EnableDatagrams: true}
	for _, version := range numbers(*versions) {
		c.quic.Versions = append(c.quic.Versions, quic.VersionNumber(version))
	}
	if *window > 0 {
		c.quic.InitialStreamReceiveWindow, c.quic.MaxStreamReceiveWindow = *window, *window
	}
	c.reconnect()
	c.serve(os.Stdin, os.Stdout)
}

// Answers calls in their order.
func (c *client) serve(from io.Reader, to io.Writer) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var call struct {
			Call  int
			Name  string
			Input input
		}
		if err := json.Unmarshal(lines.Bytes(), &call); err != nil {
			panic(err)
		}
		answer := map[string]any{"call": call.Call}
		if value, err := c.do(call.Name, call.Input); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["value"] = value
		}
		if err := json.NewEncoder(to).Encode(answer); err != nil {
			panic(err)
		}
	}
}

func (c *client) do(name string, in input) (any, error) {
	switch name {
	case "get":
		return c.requests(http.MethodGet, in)
	case "post":
		return c.requests(http.MethodPost, in)
	case "reconnect":
		return true, c.reconnect()
	case "trace":
		return c.trace.snapshot(), nil
	case "close":
		return true, c.connection.CloseWithError(quic.ApplicationErrorCode(in.Code), in.Reason)
	case "open":
		return c.open(in.Path)
	case "echo":
		return c.session.echo(in.Kind, in.Octets)
	case "datagrams":
		return c.session.datagrams(in.Count, in.Octets)
	case "reset":
		return c.session.reset(in.Code)
	case "stop":
		return c.session.stop(in.Code)
	case "closeSession":
		return true, c.session.close(in.Code, in.Reason)
	case "closedSession":
		return c.session.closed()
	}
	return nil, fmt.Errorf("no call is named %q", name)
}

// The next request takes a new connection, which may resume the session of the one before.
func (c *client) reconnect() error {
	if c.transport != nil {
		if err := c.transport.Close(); err != nil {
			return err
		}
	}
	c.transport = &http3.RoundTripper{
		TLSClientConfig: c.tls,
		// Its HTTP/3 takes one version only; the connection below it is dialled with all.
		QuicConfig: &quic.Config{Versions: []quic.VersionNumber{quic.Version1}},
		Dial: func(ctx context.Context, _ string, tls *tls.Config, _ *quic.Config) (quic.EarlyConnection, error) {
			connection, err := quic.DialAddrEarlyContext(ctx, c.address, tls, c.quic)
			c.connection = connection
			return connection, err
		},
	}
	return nil
}

// Requests of /healthz at once on one connection; gives how often each status came, and the last body.
func (c *client) requests(method string, in input) (any, error) {
	count := in.Count
	if count == 0 {
		count = 1
	}
	if in.Early {
		method = http3.MethodGet0RTT
	}
	var mutex sync.Mutex
	var failure error
	var last string
	statuses := map[string]int{}
	one := func() {
		body := io.LimitReader(zeros{}, int64(in.Octets))
		request, err := http.NewRequest(method, "https://"+c.address+"/healthz", body)
		if err == nil && in.Octets == 0 {
			request.Body = nil
		}
		var response *http.Response
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			response, err = c.transport.RoundTrip(request.WithContext(ctx))
		}
		var text []byte
		if err == nil {
			text, err = io.ReadAll(response.Body)
		}
		mutex.Lock()
		defer mutex.Unlock()
		if err != nil {
			failure = err
			return
		}
		statuses[strconv.Itoa(response.StatusCode)]++
		last = string(text)
	}
	var all sync.WaitGroup
	for i := 0; i < count; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			one()
		}()
	}
	all.Wait()
	return map[string]any{"statuses": statuses, "body": last}, failure
}

// A body of zeros.
type zeros struct{}

func (zeros) Read(into []byte) (int, error) {
	for i := range into {
		into[i] = 0
	}
	return len(into), nil
}
