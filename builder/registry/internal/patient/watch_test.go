package patient_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// piped returns a transport whose server is serve, at the other end of a pipe in
// memory.
func piped(t *testing.T, serve func(net.Conn)) *patient.Transport {
	base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serve(theirs)
		return ours, nil
	}}
	t.Cleanup(base.CloseIdleConnections)
	return &patient.Transport{
		AllowPlain: true,
		Base:       base,
		Limits:     patient.Limits{Answer: time.Minute, Commit: 10 * time.Minute, Stall: 30 * time.Second},
	}
}

// readAll reads until the server's side of the pipe is closed.
func readAll(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// readRequest reads the head of a request.
func readRequest(conn net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(conn)) }

// Row 11 of the fault table: servers that fall silent.
func TestTransportGivesUp(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	tests := []struct {
		name, method, body string
		serve              func(net.Conn)
		after              time.Duration
		want               string
	}{
		{
			name: "no answer", method: http.MethodGet,
			serve: readAll, after: time.Minute, want: "doesn't answer",
		},
		{
			name: "answer byte by byte", method: http.MethodGet,
			serve: func(conn net.Conn) {
				readRequest(conn)
				for range 1000 {
					if _, err := conn.Write([]byte("H")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
			after: time.Minute, want: "doesn't answer",
		},
		{
			name: "no answer to an upload", method: http.MethodPut, body: large,
			serve: readAll, after: 10 * time.Minute, want: "doesn't answer",
		},
		{
			name: "upload not read", method: http.MethodPut, body: large,
			serve: func(conn net.Conn) { _, _ = io.CopyN(io.Discard, conn, 100_000) },
			after: 30 * time.Second, want: "stopped reading",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				_, err := piped(t, test.serve).RoundTrip(request(t, test.method, "http://registry.example/", test.body))
				var broken *patient.BrokenError
				if !errors.As(err, &broken) || !broken.Transient() || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got error %v, want one with %q", err, test.want)
				}
				if spent := time.Since(start); spent != test.after {
					t.Errorf("gave up after %s, want %s", spent, test.after)
				}
				time.Sleep(time.Hour) // until the server has noticed
			})
		})
	}
}

func TestTransportGivesUpReading(t *testing.T) {
	tests := []struct {
		name  string
		serve func(net.Conn)
		after time.Duration
	}{
		{"stalls", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		}, 30 * time.Second},
		{"cut", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			_ = conn.Close()
		}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				resp, err := piped(t, test.serve).RoundTrip(request(t, http.MethodGet, "http://registry.example/", ""))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if string(got) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) || time.Since(start) != test.after {
					t.Errorf("got %q and %v after %s", got, err, time.Since(start))
				}
			})
		})
	}
}

// A slow but steady transfer is nothing to give up, in either direction.
func TestTransportIsPatientWithProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := bytes.Repeat([]byte("x"), 200_000)
		slow := piped(t, func(conn net.Conn) {
			go func() {
				for range 20 {
					time.Sleep(5 * time.Second)
					_, _ = io.CopyN(io.Discard, conn, 10_000)
				}
				go readAll(conn)
				time.Sleep(5 * time.Minute)
				_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n")
				for range 10 {
					time.Sleep(20 * time.Second)
					_, _ = conn.Write([]byte("y"))
				}
			}()
		})
		resp, err := slow.RoundTrip(request(t, http.MethodPut, "http://registry.example/", string(body)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != "yyyyyyyyyy" {
			t.Errorf("got %q, %v", got, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTransportReturnsTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupted := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(interrupted) })
		_, err := piped(t, readAll).RoundTrip(request(t, http.MethodGet, "http://registry.example/", "").WithContext(ctx))
		if !errors.Is(err, interrupted) {
			t.Errorf("got %v", err)
		}
	})
}
