package secretstest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"
)

// Staging labels that the service itself moves.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
	rotation = "AWSPENDING"
)

// Quotas, see
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const (
	maxSize         = 65_536
	maxLabels       = 20 // across all versions of a secret
	keptVersions    = 100
	keptVersionsFor = 24 * time.Hour
)

type secret struct {
	name, arn   string
	number      int // of all secrets ever made
	created     time.Time
	changed     time.Time
	description string
	kmsKeyID    string
	tags        []tag
	versions    map[string]*version
	deleted     time.Time // when it is to go; zero: it isn't scheduled
	purged      time.Time // when it goes, deleted without a window; zero: it isn't
}

type tag struct{ Key, Value string }

type version struct {
	id      string
	text    *string
	binary  []byte
	created time.Time
	labels  []string
}

func (v *version) bytes() []byte {
	if v.text != nil {
		return []byte(*v.text)
	}
	return slices.Clone(v.binary)
}

// same says whether the version holds what a request brings.
func (v *version) same(q request) bool {
	if v.text == nil || q.SecretString == nil {
		return v.text == nil && q.SecretString == nil && bytes.Equal(v.binary, q.SecretBinary)
	}
	return *v.text == *q.SecretString
}

func (v *version) has(label string) bool { return slices.Contains(v.labels, label) }

func (v *version) add(label string) {
	if !v.has(label) {
		v.labels = append(v.labels, label)
		slices.Sort(v.labels)
	}
}

func (v *version) drop(label string) {
	v.labels = slices.DeleteFunc(v.labels, func(l string) bool { return l == label })
}

func (x *secret) labelled(label string) *version {
	for _, v := range x.versions {
		if v.has(label) {
			return v
		}
	}
	return nil
}

// stages leaves out versions without a label, which are deprecated.
func (x *secret) stages() map[string][]string {
	stages := make(map[string][]string)
	for id, v := range x.versions {
		if len(v.labels) > 0 {
			stages[id] = slices.Clone(v.labels)
		}
	}
	return stages
}

// move attaches a label to a version, from wherever it was.
func (x *secret) move(label string, to *version) {
	from := x.labelled(label)
	if from == to {
		return
	}
	if from != nil {
		from.drop(label)
	}
	to.add(label)
	if label == current && from != nil {
		if was := x.labelled(previous); was != nil {
			was.drop(previous)
		}
		from.add(previous)
	}
}

// sorted are the versions, oldest first.
func (x *secret) sorted() []*version {
	return slices.SortedFunc(maps.Values(x.versions), func(a, b *version) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id))
	})
}

// tidy removes deprecated versions beyond a hundred that are older than a day.
func (x *secret) tidy(now time.Time) {
	for id, v := range x.versions {
		if len(x.versions) <= keptVersions {
			return
		}
		if len(v.labels) == 0 && now.Sub(v.created) > keptVersionsFor {
			delete(x.versions, id)
		}
	}
}
