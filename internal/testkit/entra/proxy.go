package entra

import (
	"io"
	"net"
	"net/http"
)

// Proxy returns an HTTP proxy for https alone (RFC 9110 section 9.3.6) that connects to
// this server whatever host it is asked for. A program whose HTTPS_PROXY it is, and that
// trusts [Server.CertPEM], takes this server for login.microsoftonline.com and
// graph.microsoft.com without knowing of it.
func (s *Server) Proxy() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only https goes through here", http.StatusMethodNotAllowed)
			return
		}
		var d net.Dialer
		server, err := d.DialContext(r.Context(), "tcp", s.addr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		client, sent, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = server.Close()
			return
		}
		join(client, sent, server)
	})
}

// join passes on what either side says until one of them leaves. sent reads from client.
func join(client net.Conn, sent io.Reader, server net.Conn) {
	leave := func() { _, _ = client.Close(), server.Close() }
	defer leave()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		defer leave()
		_, _ = io.Copy(server, sent) // either side may leave at any time
	}()
	_, _ = io.Copy(client, server)
}
