package docker_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/sirupsen/logrus"
)

// TestMain is ssh, too: TestSSH calls this program by that name.
func TestMain(m *testing.M) {
	if socket := os.Getenv("MABUILD_TEST_DIAL"); socket != "" {
		if err := dialStdio(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	logrus.SetOutput(io.Discard) // containerd's store tells of file systems without verity
	os.Exit(m.Run())
}

// dialStdio is `docker system dial-stdio`.
func dialStdio(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// certificate is that of a server, as PEM.
func certificate(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
