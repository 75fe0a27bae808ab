package main

// The groups of the flags that all commands share, as the tags of session name them.
const (
	ofStore       = "Store"
	ofUser        = "User"
	ofApplication = "Application"
	ofProvider    = "Provider"
	ofEncryption  = "Encryption"
	general       = "General"
)

// page is what the help of a command says besides its flags.
type page struct {
	heeds    []string // the groups of shared flags that the command heeds, besides the general one
	examples []string // for a shell; one that is wider than the page has a line break
}

// allGroups are the groups of a command that works on the tokens of a record.
var allGroups = []string{ofStore, ofUser, ofApplication, ofProvider, ofEncryption}

// pages are the pages of the commands, by path.
var pages = map[string]page{
	"login now": {allGroups, []string{
		"graphtoken login --client-id ID --scope User.Read --scope Mail.Read",
		"graphtoken login --client-id ID --device-code --store redis://host/0#ana",
		"graphtoken login --client-id ID --client-credentials \\\n  --tenant contoso.com --client-secret-file FILE",
	}},
	"login start": {allGroups, []string{
		"address=$(graphtoken login start --client-id ID --scope User.Read)",
	}},
	"login finish": {allGroups, []string{
		"graphtoken login finish",
		"graphtoken login finish --flow FILE",
	}},
	"logout": {allGroups, []string{
		"graphtoken logout --user ana@contoso.com",
		"graphtoken logout --all",
	}},
	"status":  {allGroups, []string{"graphtoken status", "graphtoken status --store redis://host:6379/0#ana --json"}},
	"list":    {allGroups, []string{"graphtoken list --store s3://bucket/tokens", "graphtoken list --names --store /srv/tokens/"}},
	"whoami":  {allGroups, []string{"graphtoken whoami --user ana@contoso.com"}},
	"inspect": {allGroups, []string{"graphtoken inspect --json"}},
	"token": {allGroups, []string{
		"curl -H \"Authorization: Bearer $(graphtoken token)\" \\\n  https://graph.microsoft.com/v1.0/me",
		"graphtoken token --format header |\n  curl -H @- https://graph.microsoft.com/v1.0/me",
		"graphtoken token --user ana@contoso.com --scope Mail.Read --min-validity 10m",
	}},
	"refresh": {allGroups, []string{"graphtoken refresh", "graphtoken refresh --user ana@contoso.com"}},
	"exec":    {allGroups, []string{"graphtoken exec -- python report.py"}},
	"agent start": {allGroups, []string{
		"graphtoken agent --socket /run/user/1000/graphtoken.sock --idle-timeout 8h",
	}},
	"agent status": {nil, []string{"graphtoken agent status"}},
	"agent stop":   {nil, []string{"graphtoken agent stop"}},
	"keepalive": {allGroups, []string{
		"graphtoken keepalive --store postgres://db/mail",
		"graphtoken keepalive --store /srv/tokens/ --every 24h \\\n  --on-reauth 'mail -s \"Sign in again\" \"$GRAPHTOKEN_USER\"'",
	}},
	"purge": {[]string{ofStore, ofUser, ofProvider, ofEncryption}, []string{"graphtoken purge --store /srv/tokens/", "graphtoken purge --store /srv/tokens/ --unused 180 --delete"}},
	"copy": {[]string{ofEncryption}, []string{
		"graphtoken copy --dry-run /srv/tokens/ postgres://mail@db/mail",
		"graphtoken copy /srv/tokens/#ana 's3://bucket/tokens/#ana@contoso.com'",
	}},
	"import": {allGroups, []string{
		"graphtoken import o365_token.txt --store redis://host:6379/0#ana",
		"graphtoken import --dry-run ~/.azure/msal_token_cache.json",
		"graphtoken import 's3://bucket/#o365_token.txt' --user ana@contoso.com",
		`printf %s "$O365TOKEN" | graphtoken import - --client-id ID`,
	}},
	"export": {allGroups, []string{
		"graphtoken export o365_token.txt --user ana@contoso.com",
		"graphtoken export o365_token.txt --format python-o365-2.0",
	}},
	"keygen": {nil, []string{"graphtoken keygen ~/.graphtoken-key", "graphtoken status --key-file ~/.graphtoken-key"}},
	"rewrap": {[]string{ofStore, ofEncryption}, []string{"graphtoken rewrap --store /srv/tokens/ --key-file KEYS --dry-run"}},
	"doctor": {[]string{ofStore, ofApplication, ofProvider, ofEncryption}, []string{"graphtoken doctor", "graphtoken doctor redis://host:6379/0"}},
	"conformance": {[]string{ofStore}, []string{
		"graphtoken conformance --store postgres://db/mail",
	}},
	"config set": {nil, []string{
		"graphtoken config set client-id ID",
		"graphtoken config set --profile work scope User.Read Mail.Read",
	}},
	"config get":   {nil, []string{"graphtoken config get client-id"}},
	"config unset": {nil, []string{"graphtoken config unset client-id"}},
	"config list":  {nil, []string{"graphtoken config list --json"}},
	"completion":   {nil, nil},
	"man":          {nil, []string{"graphtoken man | man -l -"}},
	"version":      {nil, []string{"graphtoken version --json"}},
	"help":         {nil, []string{"graphtoken help login", "graphtoken help stores"}},
}
