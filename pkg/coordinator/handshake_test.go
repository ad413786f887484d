package coordinator

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func TestAHandshakeThatIsNoneIsTold(t *testing.T) {
	h := start(t)
	conn, err := net.Dial("tcp", h.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: coordinator\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, "400") {
		t.Errorf("plain HTTP: %q, want that it is told", line)
	}
	soon(t, "the connection is forgotten", 5*time.Second, func() bool { return h.connections.figures().strangers == 0 })
}

func TestCloseBreaksOffHandshakes(t *testing.T) {
	h := start(t)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newHandshaker(tcp, h.home.credentials.Server([]string{"h2"}, trust.ClientOptional), quiet())
	accepted := make(chan error, 1)
	go func() { _, err := l.Accept(); accepted <- err }()
	silent, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; err == nil {
		t.Errorf("a connection was given out")
	}
	silent.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the silent one: %v, want that it was cut", err)
	}
}
