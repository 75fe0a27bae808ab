package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pelletier/go-toml/v2"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// configCommands look at profiles and change them.
type configCommands struct {
	Set   configSet   `cmd:"" help:"Set a key of a profile."`
	Get   configGet   `cmd:"" help:"Print a key of a profile."`
	Unset configUnset `cmd:"" help:"Remove a key from a profile."`
	List  configList  `cmd:"" help:"List the profiles."`
}

type configSet struct {
	Key   string   `arg:"" help:"The name of a shared flag, such as client-id (see graphtoken help flags)."`
	Value []string `arg:"" help:"The value; several for scope."`
}

// Help is what kong shows below the command's first line.
func (configSet) Help() string {
	return `The profile is that of --profile, or "default", which counts where no profile is named. A flag and a variable come before the profile, and the profile before what the record remembers. A profile has no secrets. Comments in the file stay.`
}

func (cmd *configSet) Run(ctx context.Context, s *session) error {
	value, err := valueOf(cmd.Key, cmd.Value)
	if err != nil {
		return err
	}
	line, err := toml.Marshal(map[string]any{cmd.Key: value})
	if err != nil {
		return err
	}
	return s.editProfile(ctx, cmd.Key, strings.TrimSpace(string(line)), value)
}

// valueOf is a key's value of the right type.
func valueOf(key string, words []string) (any, error) {
	field, known := fieldOf(key)
	text := strings.Join(words, " ")
	switch {
	case !known:
		return nil, usageError(unknownKey(printable(key)))
	case key == "scope":
		scopes := []any{}
		for _, scope := range tokencache.SplitScopes(words...) {
			scopes = append(scopes, scope)
		}
		return scopes, withoutSecret(key, text)
	case len(words) > 1:
		return nil, usageError(key + " has one value")
	case field.Elem().Kind() == reflect.Bool:
		is, err := strconv.ParseBool(text)
		if err != nil {
			return nil, usageError(key + " is true or false")
		}
		return is, nil
	case slices.Contains(pathKeys, key) || key == "store" && !strings.Contains(text, ":"):
		path, err := absolute(text)
		if err != nil {
			return nil, err
		}
		return path, withoutSecret(key, text)
	}
	return text, withoutSecret(key, text)
}

func withoutSecret(key, value string) error {
	if err := checkSecret(key, value); err != nil {
		return usageError(err.Error())
	}
	return nil
}

// fieldOf returns the type of a key.
func fieldOf(key string) (reflect.Type, bool) {
	all := reflect.TypeFor[settings]()
	for i := range all.NumField() {
		if f := all.Field(i); f.Tag.Get("toml") == key {
			return f.Type, true
		}
	}
	return nil, false
}

type configUnset struct {
	Key string `arg:"" help:"The key."`
}

func (cmd *configUnset) Run(ctx context.Context, s *session) error {
	if _, known := fieldOf(cmd.Key); !known {
		return usageError(unknownKey(printable(cmd.Key)))
	}
	c, err := readConfiguration()
	if err != nil {
		return err
	}
	if _, there := c.profiles[s.profileName()][cmd.Key]; !there {
		return notSet(cmd.Key, s.profileName())
	}
	return s.editProfile(ctx, cmd.Key, "", nil)
}

// errNotSet says that a profile, or a key of one, isn't there.
var errNotSet = errors.New("not set")

func notSet(key, profile string) error {
	return fmt.Errorf("%s is %w in the profile %s: graphtoken config list shows all", key, errNotSet, profile)
}

func (s *session) profileName() string {
	if s.Profile == "" {
		return defaultProfile
	}
	return s.Profile
}

// editProfile changes one key of the profile, and nothing else in the file.
func (s *session) editProfile(ctx context.Context, key, line string, value any) error {
	name := s.profileName()
	if !profileName.MatchString(name) {
		return usageError("a profile's name is letters, digits, hyphens and underscores")
	}
	old, err := readConfiguration()
	if err != nil {
		return err
	}
	if old.path == "" {
		_, err := configDirectory()
		return err
	}
	want := make(map[string]map[string]any)
	for name, profile := range old.profiles {
		want[name] = maps.Clone(profile)
	}
	if want[name] == nil {
		want[name] = make(map[string]any)
	}
	want[name][key] = value
	if value == nil {
		delete(want[name], key)
	}
	next := &configuration{path: old.path, text: old.edited(name, key, line)}
	if err := next.parse(); err != nil || !reflect.DeepEqual(next.profiles, want) {
		return usageError(fmt.Sprintf("%s has a form that this command can't change without touching the rest: set %s in it with an editor", old.path, key))
	}
	return savePrivate(ctx, next.path, next.text)
}

type configGet struct {
	Key  string `arg:"" help:"The key."`
	JSON bool   `name:"json" env:"-" help:"As JSON."`
}

func (cmd *configGet) Run(s *session, c *console) error {
	if _, known := fieldOf(cmd.Key); !known {
		return usageError(unknownKey(printable(cmd.Key)))
	}
	config, err := readConfiguration()
	if err != nil {
		return err
	}
	value, there := config.profiles[s.profileName()][cmd.Key]
	if !there {
		return notSet(cmd.Key, s.profileName())
	}
	if cmd.JSON {
		return writeJSON(c.out, value)
	}
	_, err = fmt.Fprintln(c.out, printable(shown(value)))
	return err
}

// shown is a value for people.
func shown(value any) string {
	words, many := value.([]any)
	if !many {
		return fmt.Sprint(value)
	}
	var texts []string
	for _, word := range words {
		texts = append(texts, fmt.Sprint(word))
	}
	return strings.Join(texts, " ")
}

type configList struct {
	JSON bool `name:"json" env:"-" help:"As JSON."`
}

func (cmd *configList) Run(s *session, c *console) error {
	config, err := readConfiguration()
	if err != nil {
		return err
	}
	profiles := config.profiles
	if s.Profile != "" {
		profile, there := profiles[s.Profile]
		if !there {
			return fmt.Errorf("the profile %s is %w in %s", s.Profile, errNotSet, config.path)
		}
		profiles = map[string]map[string]any{s.Profile: profile}
	}
	if cmd.JSON {
		if profiles == nil {
			profiles = map[string]map[string]any{}
		}
		return writeJSON(c.out, map[string]any{"file": config.path, "profiles": profiles})
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROFILE\tKEY\tVALUE")
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		for _, key := range slices.Sorted(maps.Keys(profiles[name])) {
			fmt.Fprintf(t, "%s\t%s\t%s\n", printable(name), key, printable(shown(profiles[name][key])))
		}
	}
	return t.Flush()
}
