package engine

import (
	"net"
	"sync"
	"time"
)

// orphanGrace is how long the steps of a cancelled build may take to end by
// themselves after its client has gone.
const orphanGrace = 2 * time.Second

// idleListener notices when no connection has been open for a while. Solve,
// Status and the session all live on client connections, so counting these is
// enough.
type idleListener struct {
	net.Listener
	// alone claims the right to end: it fails while somebody means to connect.
	alone   func() (bool, error)
	idle    time.Duration
	expired chan struct{} // closed when the engine should end
	// quiet is called some time after the last connection was closed, with a
	// function that tells whether none has come since.
	quiet func(still func() bool)

	mu    sync.Mutex
	open  int
	timer *time.Timer
	calm  *time.Timer
	over  bool
}

// unused reports whether no connection is open.
func (l *idleListener) unused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open == 0
}

// newIdleListener starts counting at once. A negative idle never expires.
func newIdleListener(l net.Listener, idle time.Duration, alone func() (bool, error)) *idleListener {
	il := &idleListener{Listener: l, alone: alone, idle: idle, expired: make(chan struct{})}
	if idle >= 0 {
		il.mu.Lock()
		defer il.mu.Unlock()
		il.timer = time.AfterFunc(idle, il.expire)
	}
	return il
}

func (l *idleListener) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open > 0 || l.over {
		return
	}
	if ok, err := l.alone(); err != nil || !ok {
		l.timer.Reset(l.idle)
		return
	}
	l.over = true
	close(l.expired)
}

func (l *idleListener) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, timer := range []*time.Timer{l.timer, l.calm} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// Accept waits for a connection and counts it as open until it is closed.
func (l *idleListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	return &idleConn{Conn: conn, listener: l}, nil
}

type idleConn struct {
	net.Conn
	listener *idleListener
	once     sync.Once
}

func (c *idleConn) Close() error {
	c.once.Do(func() {
		l := c.listener
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		if l.open > 0 || l.over {
			return
		}
		if l.timer != nil {
			l.timer.Reset(l.idle)
		}
		if l.calm != nil {
			l.calm.Stop()
		}
		if l.quiet != nil {
			l.calm = time.AfterFunc(orphanGrace, func() { l.quiet(l.unused) })
		}
	})
	return c.Conn.Close()
}
