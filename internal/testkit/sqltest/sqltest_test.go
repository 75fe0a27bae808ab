//go:build unix

package sqltest_test

import (
	"net"
	"regexp"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

func TestServersStopAndStartAgain(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *sqltest.Server{"postgres": sqltest.Postgres, "mariadb": sqltest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			port := regexp.MustCompile(`port=(\d+)|:(\d+)\)`).FindStringSubmatch(server.DSN())
			addr := "127.0.0.1:" + port[1] + port[2]
			for range 2 {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
				server.Stop()
				if conn, err := net.Dial("tcp", addr); err == nil {
					conn.Close()
					t.Error("a stopped server takes connections")
				}
				server.Start()
			}
		})
	}
}
