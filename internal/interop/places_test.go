package interop

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/backends/sql"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/interop/peers/msalgo"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

// home is one record in a place of python-o365's, as both sides are told of it.
type home struct {
	backend func() (core.TokenBackend, error)
	key     string
	place   map[string]string // the token backend of python-o365, and what that is told
	env     []string          // more of python-o365's environment
}

// homes make a record in each place that python-o365 has a token backend for. It is
// called as python-o365's documentation has it, or, where native is true, by a name
// that this collection would escape.
var homes = []struct {
	name string
	make func(t *testing.T, native bool) home
}{
	{"a file", func(t *testing.T, native bool) home {
		dir, name := t.TempDir(), filesystem.DefaultKey
		if native {
			name = "ana@contoso.com token.txt"
		}
		return home{
			backend: func() (core.TokenBackend, error) {
				return filesystem.New(dir, filesystem.Options{NativeNames: native})
			},
			key:   name,
			place: map[string]string{"kind": "file", "directory": dir, "name": name},
		}
	}},
	{"an environment variable", func(t *testing.T, native bool) home {
		variable := "O365TOKEN_" + rand.Text() // the tests run in one process
		if native {
			variable += " ana@contoso.com"
		}
		t.Cleanup(func() { _ = os.Unsetenv(variable) })
		return home{
			backend: func() (core.TokenBackend, error) { return env.New(env.Options{NativeNames: native}) },
			key:     variable,
			place:   map[string]string{"kind": "env", "name": variable},
		}
	}},
	{"Firestore", func(t *testing.T, native bool) home {
		server := firestoretest.Double(t)
		client, name := server.Client(t, ""), "o365_token"
		if native {
			name = "token_ana@contoso.com"
		}
		return home{
			backend: func() (core.TokenBackend, error) {
				return firestore.New(client, "tokens", firestore.Options{NativeNames: native})
			},
			key:   name,
			place: map[string]string{"kind": "firestore", "project": firestoretest.Project, "collection": "tokens", "name": name},
			env:   []string{"FIRESTORE_EMULATOR_HOST=" + server.Addr},
		}
	}},
	{"S3", func(t *testing.T, native bool) home {
		url := s3test.Versitygw(t).URL
		client := s3test.Client(url)
		bucket, name := s3test.Bucket(t, client), "o365_token.txt"
		if native {
			name = "contoso/ana+o365@contoso.com token.txt"
		}
		return home{
			backend: func() (core.TokenBackend, error) {
				return awss3.New(client, bucket, awss3.Options{NativeNames: native})
			},
			key:   name,
			place: map[string]string{"kind": "s3", "bucket": bucket, "name": name},
			env:   awsEnv(url, s3test.AccessKey, s3test.SecretKey),
		}
	}},
	{"Secrets Manager", func(t *testing.T, native bool) home {
		// moto answers GetSecretValue, as python-o365 sends it, with an old version.
		url := secretstest.Start(t, secretstest.Options{}).URL
		client := secretsmanager.New(secretsmanager.Options{
			Region: s3test.Region, BaseEndpoint: aws.String(url), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		})
		name := "o365_token"
		if native {
			name = "contoso/ana+o365=1@contoso.com"
		}
		return home{
			backend: func() (core.TokenBackend, error) {
				return awssecrets.New(client, awssecrets.Options{NativeNames: native})
			},
			key:   name,
			place: map[string]string{"kind": "secrets_manager", "region": s3test.Region, "name": name},
			env:   awsEnv(url, "key", "secret"),
		}
	}},
	{"Bitwarden", func(t *testing.T, native bool) home {
		if runtime.GOOS != "linux" {
			peer.Missing(t, "ssl-cert-file", "Bitwarden's SDKs trust the file in SSL_CERT_FILE on Linux alone")
		}
		server := bitwardentest.Start(t, bitwardentest.Options{TLS: true})
		cert := filepath.Join(t.TempDir(), "cert.pem")
		if err := server.WriteCert(cert); err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(server.CertPEM())
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		t.Cleanup(transport.CloseIdleConnections)
		secrets, err := bitwarden.Login(t.Context(), server.AccessToken(), bitwarden.LoginOptions{
			APIURL: server.APIURL(), IdentityURL: server.IdentityURL(), HTTPClient: &http.Client{Transport: transport},
		})
		if err != nil {
			t.Fatal(err)
		}
		id := server.Add(bitwardentest.Secret{Key: "o365_token", Value: "{}"}) // python-o365 creates none
		return home{
			backend: func() (core.TokenBackend, error) {
				return bitwarden.New(secrets, bitwarden.Options{NativeNames: native})
			},
			key: id,
			place: map[string]string{
				"kind": "bitwarden", "api": server.APIURL(), "identity": server.IdentityURL(), "access token": server.AccessToken(), "name": id,
			},
			env: []string{"SSL_CERT_FILE=" + cert},
		}
	}},
	{"Django", func(t *testing.T, _ bool) home {
		const table = "myapp_tokenmodel"
		file := filepath.Join(t.TempDir(), "db.sqlite3")
		db, err := gorm.Open(sqlite.Open("file:"+file+"?_pragma=busy_timeout(5000)"), &gorm.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if pool, err := db.DB(); err == nil {
				_ = pool.Close()
			}
		})
		return home{
			backend: func() (core.TokenBackend, error) {
				b, err := sql.NewDjango(db, table, sql.DjangoOptions{})
				if err == nil {
					err = b.Migrate(t.Context())
				}
				return b, err
			},
			key:   table,
			place: map[string]string{"kind": "django", "database": file, "name": table},
		}
	}},
}

// awsEnv is where boto3 finds an imitation of AWS.
func awsEnv(url, key, secret string) []string {
	return []string{"AWS_ENDPOINT_URL=" + url, "AWS_DEFAULT_REGION=" + s3test.Region, "AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret}
}

// pythonO365 is a program that has python-o365.
type pythonO365 struct {
	*worker
	variable string // that the record is in, if it is in one
}

func (p place) pythonO365(t *testing.T, at home, fernetKey string) *pythonO365 {
	t.Helper()
	l := library{name: "python-o365", start: func(t *testing.T) *exec.Cmd {
		cmd := exec.Command(peer.Python(t), filepath.Join("peers", "o365", "worker.py"))
		cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), at.env...)
		return cmd
	}}
	python := &pythonO365{worker: l.work(t, msalgo.Peer{
		Address: p.idp.Addr(), CA: p.ca, User: entra.Ana, Scopes: scopes, Client: entra.PublicClient, Place: at.place, Fernet: fernetKey,
	})}
	if at.place["kind"] == "env" {
		python.variable = at.key
	}
	return python
}

func (p *pythonO365) do(t *testing.T, what string) (found, token string, err error) {
	t.Helper()
	a, err := p.ask(t, msalgo.Command{Do: what, Variable: os.Getenv(p.variable)})
	if p.variable != "" {
		if err := os.Setenv(p.variable, a.Variable); err != nil {
			t.Fatal(err)
		}
	}
	return a.Found, a.Token, err
}

// findAndRefresh is the turn of a program that starts: it finds a token with few
// minutes left, and refreshes it.
func (p *pythonO365) findAndRefresh(t *testing.T) (found, obtained string, err error) {
	t.Helper()
	if _, _, err := p.do(t, "restart"); err != nil {
		return "", "", err
	}
	return p.do(t, "refresh")
}

// token is a turn that comes a second after the one before.
func (p *pythonO365) token(t *testing.T) (string, error) {
	t.Helper()
	if _, _, err := p.do(t, "wait"); err != nil {
		return "", err
	}
	_, obtained, err := p.findAndRefresh(t)
	return obtained, err
}

func (p *ours) findAndRefresh(t *testing.T) (found, obtained string, err error) {
	t.Helper()
	p.restart(t)
	c, _ := load(t, p.store, p.key)
	at, _ := c.AccessToken(tokencache.Query{Username: entra.Ana, Scopes: scopes})
	obtained, err = p.token(t)
	return at.Secret.Reveal(), obtained, err
}

// rounds are ten turns of python-o365 (p) and ten of this collection (o), each
// after the other and twice in a row.
const rounds = "opopooppoppooppoopop"

func TestPythonO365AndThisCollectionTakeTurnsInEveryPlaceOfPythons(t *testing.T) {
	for _, at := range homes {
		for how, key := range map[string]string{"plain": "", "encrypted, by a native name": fernetKey} {
			t.Run(at.name+", "+how, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				p.idp.SetLifetime(fewMinutes)
				record := at.make(t, key != "")
				python, us := p.pythonO365(t, record, key), p.ours(t, "common")
				us.backend, us.key = record.backend, record.key
				if key != "" {
					us.options = []core.StoreOption{core.WithCryptography(newFernet(t, key))}
				}
				turns := map[rune]func(*testing.T) (found, obtained string, err error){'p': python.findAndRefresh, 'o': us.findAndRefresh}

				_, last, err := python.do(t, "sign in")
				if err != nil {
					t.Fatal(err)
				}
				for n, who := range rounds {
					found, obtained, err := turns[who](t)
					if err != nil {
						t.Fatalf("turn %d, %c: %v", n, who, err)
					}
					if found != last {
						t.Fatalf("turn %d: %c doesn't find the token that the turn before it left", n, who)
					}
					last = obtained
				}
				if _, found, err := python.do(t, "look"); err != nil || found != last {
					t.Errorf("python-o365 doesn't find the token of the last turn (%v)", err)
				}
				if err := us.store.Delete(t.Context(), us.key); err != nil {
					t.Fatal(err)
				}
				_, found, err := python.do(t, "look")
				if at.name == "Bitwarden" { // whose client raises where there is no secret
					err = nil
				}
				if err != nil || found != "" {
					t.Errorf("after Delete python-o365 finds the token %.20q (%v)", found, err)
				}
				g := p.idp.Grants()
				if g.RefreshesSucceeded != len(rounds) || g.Total.Received != len(rounds)+1 || g.ReuseDetected != 0 {
					t.Errorf("%d of %d turns refreshed, with %d requests; %d refresh tokens were sent again",
						g.RefreshesSucceeded, len(rounds), g.Total.Received-1, g.ReuseDetected)
				}
			})
		}
	}
}

// inFile is the record that the other libraries work on.
func (p place) inFile() home {
	return home{place: map[string]string{"kind": "file", "directory": p.dir, "name": record}}
}

func TestPythonO365RefreshesWhatTheOtherLibrariesAndThisCollectionWrote(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.idp.SetLifetime(fewMinutes)
			us, them, python := p.ours(t, "common"), p.theirs(t, l, "common"), p.pythonO365(t, p.inFile(), "")
			if err := them.signIn(t); err != nil {
				t.Fatal(err)
			}
			for n, refresh := range []func(*testing.T) (string, error){
				them.token, us.token, python.token, python.token, us.token, us.token, python.token, us.token,
			} {
				if _, err := refresh(t); err != nil {
					t.Fatalf("turn %d: %v", n, err)
				}
			}
			if g := p.idp.Grants(); g.RefreshesSucceeded != 8 || g.ReuseDetected != 0 {
				t.Errorf("of 8 turns %d refreshed, %d refresh tokens were sent again", g.RefreshesSucceeded, g.ReuseDetected)
			}
			if n := len(p.document(t)["RefreshToken"]); n != 1 {
				t.Errorf("%d refresh tokens are in the record", n)
			}
		})
	}
}
