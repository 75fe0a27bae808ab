package firestoretest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// Emulator starts the official emulator, which belongs to the Google Cloud CLI
// (gcloud components install cloud-firestore-emulator) and needs Java 17. The
// variable FIRESTORE_EMULATOR_JAR names its jar; without that it is looked for
// where the CLI is installed. Where it is missing the test is skipped loudly, see
// [peer.Wanted].
func Emulator(t testing.TB) *Server {
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
	port := strconv.Itoa(testkit.FreePort(t))
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", port)}
	// It doesn't live long enough for its code to be optimized: that takes more time than it saves.
	cmd := exec.Command(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-cp", jar, "com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start", "--host=127.0.0.1", "--port="+port)
	cmd.Dir = os.TempDir()
	process := testkit.Start(t, cmd, os.Kill)
	client := s.Client(t, "")
	process.Await(t, func() error {
		_, err := client.Collection("ready").Doc("ready").Snapshots(t.Context()).Next()
		return err
	})
	return s
}

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
