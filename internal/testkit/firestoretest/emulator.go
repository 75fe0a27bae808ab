package firestoretest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// patience is for what takes three seconds on an idle machine.
const patience = time.Minute

// Emulator starts the official emulator, which belongs to the Google Cloud CLI
// (gcloud components install cloud-firestore-emulator) and needs Java 17. The
// variable FIRESTORE_EMULATOR_JAR names its jar; without that it is looked for
// where the CLI is installed. Where it is missing the test is skipped loudly, see
// [peer.Wanted].
func Emulator(t TB) *Server {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		peer.Wanted(t, "firestore-emulator", "there is no java: "+howToInstall)
		return nil
	}
	jar := findJar()
	if jar == "" {
		peer.Wanted(t, "firestore-emulator", "there is no cloud-firestore-emulator.jar: "+howToInstall)
		return nil
	}
	port := freePort(t)
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	var log bytes.Buffer
	// It doesn't live long enough for its code to be optimized: that takes more time than it saves.
	cmd := exec.Command("sh", "-c", untilInputEnds, "sh", java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-cp", jar, "com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start", "--host=127.0.0.1", "--port="+strconv.Itoa(port))
	cmd.Dir = os.TempDir()
	cmd.Stdout, cmd.Stderr = &log, &log
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("firestoretest: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		stdin.Close()
		<-exited
	})
	client := s.Client(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, err := client.Collection("ready").Doc("ready").Snapshots(ctx).Next()
		if err == nil {
			return s
		}
		select {
		case <-exited:
			t.Fatalf("firestoretest: the emulator ended: %s", log.String())
		case <-ctx.Done():
			t.Fatalf("firestoretest: the emulator doesn't answer: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// untilInputEnds is a shell script that runs a program, and ends it by its process
// id as soon as the script's own input ends: closed, or by the death of the test,
// which a time-out kills before it cleans up.
const untilInputEnds = `exec 3<&0
"$@" 3<&- &
program=$!
{ read end; kill -9 $program; } <&3 &
wait $program
kill $!`

// Shared is one emulator for all tests of a package: it starts when the first of
// them asks for it, and TestMain stops it. The zero value is ready for use.
type Shared struct {
	mu      sync.Mutex
	server  *Server
	cleanup []func()
}

// Emulator is the emulator that is running, or else a new one.
func (s *Shared) Emulator(t TB) *Server {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		s.server = Emulator(lasting{t, s})
	}
	return s.server
}

// Stop ends the emulator, if there is one.
func (s *Shared) Stop() {
	for len(s.cleanup) > 0 {
		last := len(s.cleanup) - 1
		s.cleanup[last]()
		s.cleanup = s.cleanup[:last]
	}
}

// lasting puts off what is cleaned up with a test.
type lasting struct {
	TB
	shared *Shared
}

func (l lasting) Cleanup(f func()) { l.shared.cleanup = append(l.shared.cleanup, f) }

const howToInstall = "install the Google Cloud CLI's cloud-firestore-emulator and Java 17, or set FIRESTORE_EMULATOR_JAR"

// findJar looks where the Google Cloud CLI is installed by packages, by its
// archive, and beside a gcloud in the PATH.
func findJar() string {
	if jar := os.Getenv("FIRESTORE_EMULATOR_JAR"); jar != "" {
		return jar
	}
	roots := []string{"/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "/snap/google-cloud-cli/current",
		"/opt/homebrew/share/google-cloud-sdk", "/usr/local/share/google-cloud-sdk"}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, "google-cloud-sdk"))
	}
	if gcloud, err := exec.LookPath("gcloud"); err == nil {
		if gcloud, err = filepath.EvalSymlinks(gcloud); err == nil {
			roots = append(roots, filepath.Dir(filepath.Dir(gcloud)))
		}
	}
	for _, root := range roots {
		jar := filepath.Join(root, "platform", "cloud-firestore-emulator", "cloud-firestore-emulator.jar")
		if _, err := os.Stat(jar); err == nil {
			return jar
		}
	}
	return ""
}

func freePort(t TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("firestoretest: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
