package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// defaultProfile is the profile that counts if none is named.
const defaultProfile = "default"

// settings are the keys of a profile: the names of the shared flags.
type settings struct {
	Store              *string  `toml:"store"`
	Record             *string  `toml:"record"`
	User               *string  `toml:"user"`
	ClientID           *string  `toml:"client-id"`
	ClientSecretFile   *string  `toml:"client-secret-file"`
	Certificate        *string  `toml:"certificate"`
	FederatedTokenFile *string  `toml:"federated-token-file"`
	ClientCredentials  *bool    `toml:"client-credentials"`
	Tenant             *string  `toml:"tenant"`
	Authority          *string  `toml:"authority"`
	Scope              []string `toml:"scope"`
	CA                 *string  `toml:"ca"`
	KeyFile            *string  `toml:"key-file"`
	SharedKeyFile      *bool    `toml:"shared-key-file"`
	Keychain           *string  `toml:"keychain"`
	KeychainFile       *bool    `toml:"keychain-file"`
	PlaintextReads     *bool    `toml:"plaintext-reads"`
}

// configuration is the user's file of profiles.
type configuration struct {
	path     string
	text     []byte
	profiles map[string]map[string]any
}

// readConfiguration reads the file; without one, there are no profiles.
func readConfiguration() (*configuration, error) {
	dir, err := configDirectory()
	if err != nil {
		return &configuration{}, nil // no file without a directory
	}
	c := &configuration{path: filepath.Join(dir, "config.toml")}
	c.text, err = readPrivate(c.path, false) // a profile names hosts that get secrets
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return nil, usageError(err.Error())
	}
	return c, c.parse()
}

// parse reads the text. An error names file and line, and never a value: it may be a secret.
func (c *configuration) parse() error {
	var document struct {
		Profiles map[string]settings `toml:"profiles"`
	}
	var broken *toml.DecodeError
	var unknown *toml.StrictMissingError
	err := toml.NewDecoder(bytes.NewReader(c.text)).DisallowUnknownFields().Decode(&document)
	switch {
	case errors.As(err, &unknown):
		broken = &unknown.Errors[0]
		line, _ := broken.Position()
		key := broken.Key()
		return usageError(fmt.Sprintf("%s:%d: %s", c.path, line, unknownKey(key[len(key)-1])))
	case errors.As(err, &broken):
		line, _ := broken.Position()
		return usageError(fmt.Sprintf("%s:%d: %s", c.path, line, strings.TrimPrefix(broken.Error(), "toml: ")))
	case err != nil:
		return usageError(c.path + ": " + err.Error())
	}
	var values struct {
		Profiles map[string]map[string]any `toml:"profiles"`
	}
	if err := toml.Unmarshal(c.text, &values); err != nil {
		return usageError(c.path + ": " + err.Error())
	}
	c.profiles = values.Profiles
	for name, profile := range c.profiles {
		for key, value := range profile {
			if err := checkSecret(key, fmt.Sprint(value)); err != nil {
				return usageError(fmt.Sprintf("%s: profile %s: %v", c.path, name, err))
			}
		}
	}
	return nil
}

// unknownKey says that there is no such key in a profile, and where a secret belongs.
func unknownKey(key string) string {
	for _, secret := range []struct{ word, place string }{
		{"secret", "GRAPHTOKEN_CLIENT_SECRET, or in a file that client-secret-file names"},
		{"keys", "GRAPHTOKEN_KEYS, or in a file that key-file names"},
		{"key", "GRAPHTOKEN_KEYS, or in a file that key-file names"},
		{"password", "the place of the store's own tools (graphtoken help stores), or in " + certificatePassword},
	} {
		if strings.HasSuffix(strings.ToLower(key), secret.word) {
			return fmt.Sprintf("%s: a profile has no secrets: this one belongs in %s", key, secret.place)
		}
	}
	return fmt.Sprintf("there is no key %s: a profile has the names of the shared flags (graphtoken help flags)", key)
}

// checkSecret refuses a value with a secret in it.
func checkSecret(key, value string) error {
	if u, err := url.Parse(value); key == "store" && err == nil {
		if _, has := u.User.Password(); has || secretOption.MatchString(value) {
			return errors.New("store: a profile has no secrets: leave the password out of the URL; it belongs in the place of the store's own tools (graphtoken help stores)")
		}
	}
	if keyText.MatchString(value) || jwt.MatchString(value) {
		return fmt.Errorf("%s: a profile has no secrets, and this value looks like one", key)
	}
	return nil
}

// pathKeys are the keys whose value is a file. A relative one is relative to the directory
// of the configuration.
var pathKeys = []string{"client-secret-file", "certificate", "federated-token-file", "ca", "key-file"}

// flagValue is a value as the command line would have it.
func (c *configuration) flagValue(key string, value any) any {
	switch value := value.(type) {
	case []any:
		var words []string
		for _, word := range value {
			words = append(words, fmt.Sprint(word))
		}
		return strings.Join(words, ",")
	case string:
		isFile := slices.Contains(pathKeys, key) || key == "store" && !strings.Contains(value, ":")
		if isFile && value != "" && !filepath.IsAbs(value) {
			return filepath.Join(filepath.Dir(c.path), value)
		}
	}
	return value
}

// replacedBy has the flags and variables in whose presence, on the command line or in the
// environment, a key of the profile doesn't count: they name something else instead.
var replacedBy = map[string][]string{
	"record":               {"store"},
	"user":                 {"client-credentials"},
	"client-credentials":   {"user"},
	"client-secret-file":   {"certificate", "federated-token-file", "GRAPHTOKEN_CLIENT_SECRET"},
	"certificate":          {"client-secret-file", "federated-token-file", "GRAPHTOKEN_CLIENT_SECRET"},
	"federated-token-file": {"client-secret-file", "certificate", "GRAPHTOKEN_CLIENT_SECRET"},
	"ca":                   {"authority"},
	"key-file":             {"keychain", "GRAPHTOKEN_KEYS"},
	"shared-key-file":      {"key-file", "keychain", "GRAPHTOKEN_KEYS"},
	"keychain":             {"key-file", "GRAPHTOKEN_KEYS"},
	"keychain-file":        {"keychain", "key-file", "GRAPHTOKEN_KEYS"},
}

// BeforeResolve is called by kong after it has read the command line. It notes the flags that
// are there, and reads the profile, if the command honours anything in it.
func (cli *commands) BeforeResolve(ctx *kong.Context) error {
	named := os.Getenv("GRAPHTOKEN_PROFILE")
	for _, element := range ctx.Path {
		if element.Flag == nil {
			continue
		}
		cli.given[element.Flag.Name] = true
		if element.Flag.Name == "profile" {
			named = fmt.Sprint(ctx.FlagValue(element.Flag))
		}
	}
	command := ctx.Selected()
	if command == nil || len(pages[command.Path()].heeds) == 0 {
		return nil
	}
	config, err := readConfiguration()
	if err != nil {
		return err
	}
	cli.configuration = config
	profile, there := config.profiles[named]
	switch {
	case named == "":
		profile = config.profiles[defaultProfile]
	case !there:
		return usageError(fmt.Sprintf("there is no profile %q in %s; graphtoken config list shows them", named, config.path))
	}
	cli.profile = profile
	return nil
}

// resolve is called by kong for each flag that isn't on the command line. It returns the
// profile's value, unless the environment has one: flags, variables, the profile, what the
// record remembers, defaults.
func (cli *commands) resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, there := cli.profile[flag.Name]
	if !there || cli.level(flag.Name) > ofProfile || !honours(ctx.Selected().Path(), flag) {
		return nil, nil
	}
	for _, other := range replacedBy[flag.Name] {
		if cli.level(other) > ofProfile || os.Getenv(other) != "" {
			return nil, nil
		}
	}
	return cli.configuration.flagValue(flag.Name, value), nil
}

// level says which place a shared flag's value comes from; a higher one counts.
type level int

const (
	ofProfile level = iota // or nowhere
	ofEnvironment
	ofCommandLine
)

func (s *session) level(flag string) level {
	switch {
	case s.given[flag]:
		return ofCommandLine
	case os.Getenv("GRAPHTOKEN_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))) != "":
		return ofEnvironment
	}
	return ofProfile
}

// settleTenant has the tenant of --tenant or that of --authority count, whichever comes
// from the higher place.
func (s *session) settleTenant() {
	_, tenant := split(s.Authority)
	switch of, ofAuthority := s.level("tenant"), s.level("authority"); {
	case s.Tenant == "" || tenant == "":
	case of > ofAuthority:
		s.Authority = withoutTenant(s.Authority)
	case of < ofAuthority:
		s.Tenant = ""
	}
}

// profileName is what a profile may be called.
var profileName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// edited returns the text with a key of a profile set to a line of TOML, or, if the line is
// empty, without the key. Everything else stays as it is, also comments.
func (c *configuration) edited(profile, key, line string) []byte {
	lines := strings.SplitAfter(string(c.text), "\n")
	header := regexp.MustCompile(`^\s*\[\s*profiles\s*\.\s*["']?` + profile + `["']?\s*\]\s*(#.*)?$`)
	assignment := regexp.MustCompile(`^\s*["']?` + key + `["']?\s*=`)
	from := slices.IndexFunc(lines, func(l string) bool { return header.MatchString(strings.TrimRight(l, "\r\n")) })
	if from < 0 {
		text := string(c.text)
		if text != "" {
			text = strings.TrimRight(text, "\n") + "\n\n"
		}
		return []byte(text + "[profiles." + profile + "]\n" + line + "\n")
	}
	to := from + 1
	last := from // the last line of the profile that is no comment
	for ; to < len(lines) && !strings.HasPrefix(strings.TrimSpace(lines[to]), "["); to++ {
		if l := strings.TrimSpace(lines[to]); l != "" && !strings.HasPrefix(l, "#") {
			last = to
		}
	}
	if i := slices.IndexFunc(lines[from:to], assignment.MatchString); i >= 0 {
		old := lines[from+i]
		if line != "" {
			line += commentOf(old) + "\n"
		}
		lines[from+i] = line
	} else if line != "" {
		lines[last] = strings.TrimRight(lines[last], "\n") + "\n"
		lines = slices.Insert(lines, last+1, line+"\n")
	}
	return []byte(strings.Join(lines, ""))
}

// commentOf returns the comment at the end of a line of TOML, with the blanks before it.
func commentOf(line string) string {
	var quote rune
	for i, r := range line {
		switch {
		case quote == 0 && r == '#':
			return " " + strings.TrimRight(line[i:], "\r\n")
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
	}
	return ""
}
