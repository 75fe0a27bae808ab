package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// plainly returns an error's text for a person who knows graphtoken, and not the libraries
// below: the store's operation in words, and causes of the network without the names of
// calls. Libraries flatten their errors to texts, so the texts are what there is.
func plainly(text string) string {
	text = operation.ReplaceAllStringFunc(text, func(found string) string {
		parts := operation.FindStringSubmatch(found)
		failed := failures[parts[1]]
		switch {
		case failed == "":
			return ""
		case parts[2] == "":
			return "the store " + failed + ": "
		}
		return "the record " + parts[2] + " " + failed + ": "
	})
	for _, p := range phrases() {
		text = p.found.ReplaceAllString(text, p.words)
	}
	return text
}

// operation is how core.Error begins: the backend's name, the operation, and the key. The name
// may also be the end of the store's URL, which stands before: postgres://host/postgres.
var operation = regexp.MustCompile(`\b(?:stores?|filesystem|file|env|memory|redis|sql|sqlite|mysql|postgres|awss3|awssecrets|firestore|bitwarden): (` +
	strings.Join(slices.Collect(maps.Keys(failures)), "|") + `)(?: ("(?:[^"\\]|\\.)*"))?: `)

// failures says what it means that an operation failed; it is "" if the cause says it all.
var failures = map[string]string{
	"open":    "can't be opened",
	"load":    "can't be read",
	"check":   "can't be read",
	"save":    "can't be saved",
	"probe":   "can't be saved",
	"delete":  "can't be deleted",
	"acquire": "can't be locked for a refresh",
	"renew":   "can't be kept locked for a refresh",
	"release": "can't be unlocked",
	"wait":    "can't be waited for",
	"keys":    "can't list its records",
	"ping":    "doesn't answer as it should",
	"migrate": "can't be prepared",

	"new": "", "login": "", "persists": "", "space": "",
}

// phrases are what libraries say, and the same in plain words. Each is applied to the
// result of those before. A command that succeeds compiles none of them.
var phrases = sync.OnceValue(func() (all []phrase) {
	for _, p := range [][2]string{
		{`(^|[:;(] ?)(?:(?:core|account|crypto|keychain|msal|stores|agent): )+`, `$1`}, // and not the word in a sentence
		{`the record ("(?:[^"\\]|\\.)*") can't be read: no record\b`, `there is no record $1`},
		{`\bthe record is plain(?:; see WithPlaintextReads)?`, `the record isn't encrypted, and --plaintext-reads accepts that`},
		{`\bset Tenant to its ID or domain`, `name it by --tenant, its ID or its domain`},
		{`\bcontext deadline exceeded\b(?: \(Client\.Timeout[^)]*\))?|\bi/o timeout\b`, `no answer in time`},
		{`\bcontext canceled\b`, `interrupted`},
		{`\b(?:unexpected )?EOF\b`, `the connection was closed`},
		{`operation error [\w ]+: \w+, `, ``},
		{`exceeded maximum number of attempts, \d+, `, ``},
		{`https? response error StatusCode: 0,(?: \w+: [^,]*,)* `, ``},
		{`https? response error StatusCode: (\d+),(?: \w+: [^,]*,)* (?:api error )?`, `HTTP status $1: `},
		{`request send failed, `, ``},
		{`\bget identity: get credentials: .*`, `there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`},
		{`rpc error: code = (\w+) desc = (?:connection error: desc = )?"?(?:transport: )?(?:Error while dialing: )?`, `$1: `},
		{`(?:Get|Head|Post|Put|Patch|Delete) "[^"]*": `, ``},
		{"failed to connect to `[^`]*`: ", ``},
		{`(?:\[?[\w.:%]+\]?:\d+ \([^)]*\): )?dial error: `, ``},
		{`server error: (?:FATAL|ERROR): `, ``},
		{`\S+:\d+ \([^)]*\): tls error: server refused TLS connection (\S+:\d+ \()`, `$1`}, // and the next attempt was without TLS
		{`\b(?:dial|read|write) (?:tcp|tcp4|tcp6|udp): lookup (\S+?)(?: on \S+)?: (?:no such host|server misbehaving)`, `there is no host $1`},
		{`\b(?:read|write) (?:tcp|unix) \S+->(\S+): (?:read|write): `, `$1: `},
		{`\bdial (?:tcp[46]?|unix) (\S+): (?:connect: )?`, `$1: `},
		{`(\S+: connection refused) (?:\S+: connection refused ?)+`, `$1`},
		{`\btls: failed to verify certificate: |\bx509: `, ``},
		{`certificate signed by unknown authority`, `the server's certificate is from no authority that this machine trusts`},
		{`SQL logic error: no such table: (\w+) \(1\)`, `there is no table $1, which graphtoken login and graphtoken copy make`},
		{`relation "(\w+)" does not exist \(SQLSTATE 42P01\)`, `there is no table $1, which graphtoken login and graphtoken copy make`},
		{`file is not a database \(26\)`, `the file is no SQLite database, or is damaged`},
		{`Table '([\w.]+)' doesn't exist`, `there is no table $1, which graphtoken login and graphtoken copy make`},
		{`\bthere is no database: `, `there is no database, which graphtoken login and graphtoken copy make: `},
		{`\b(?:open|stat|lstat|mkdir|read|readlink) (\S+): `, `$1: `},
		{`\bexec: "([^"]*)": executable file not found in \$PATH`, `there is no program $1 in PATH`},
		{`: time: (?:invalid|unknown|missing) [^:]*duration "[^"]*"`, `, and one is such as 90s or 10m`},
		{`expected \w+ value but got "EOL" \(<EOL>\)`, `its value is missing`},
	} {
		all = append(all, phrase{regexp.MustCompile(p[0]), p[1]})
	}
	return all
})

type phrase struct {
	found *regexp.Regexp
	words string
}

// explain is an error's text as a message shows it.
func explain(err error) string {
	return printable(plainly(strings.ReplaceAll(err.Error(), "\n", "; ")))
}
