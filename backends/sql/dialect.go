package sql

import (
	"cmp"
	"embed"
	"regexp"
	"strconv"
	"strings"
)

//go:embed ddl/*.sql
var ddl embed.FS

// dialect has what differs from one database to another.
type dialect struct {
	ddl      string // the file of the table's definition
	now      string // microseconds since 1970
	saved    string // the same for a save
	numbered bool   // placeholders are $1, $2, and so on, not ?
	notifies bool   // it has NOTIFY
	embedded bool   // the database runs in this process: while one statement writes, others that want to write would sleep

	// held asks whether the lease is held, before a try to take it. Only SQLite needs that: a
	// try locks the whole file, and waiters for a lease must not delay saves.
	held []string

	// commits is a condition that fails in a session that doesn't commit each statement
	// by itself, and holds in any other: see run. It is empty if there is no such
	// session.
	commits string

	// These writes insert the row or change it. Their parts run one after the other, until one
	// of them changes a row.
	overwrite, create, acquire []string
}

// dialects by gorm's names for them.
var dialects = map[string]dialect{
	"sqlite": {
		ddl:      "ddl/sqlite.sql",
		embedded: true,
		now:      `CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)`,
		// SQLite's clock is that of its process. It takes long to ask for it. A lease
		// needs the time after the wait for the file's lock, but a save doesn't.
		saved: `@now`,

		held:      []string{`SELECT 1 FROM {table} WHERE record_key = @key AND lease_until > {now}`},
		overwrite: upsert.overwrite, create: upsert.create, acquire: upsert.acquire,
	},
	"postgres": {
		ddl: "ddl/postgres.sql",
		// Not now(), which is when the statement began: it may have waited for another
		// statement since.
		now:      `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`,
		numbered: true,
		notifies: true,

		overwrite: upsert.overwrite, create: upsert.create,
		// ON CONFLICT locks the row even if it then leaves it alone, and so keeps the
		// holder from saving. So nothing is inserted while the lease is held; the
		// condition at the end is for the second of two.
		acquire: []string{
			`INSERT INTO {table} AS stored (record_key, lease_owner, lease_until)
			SELECT CAST(@key AS TEXT), CAST(@owner AS TEXT), {now} + @ttl
			WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE record_key = @key AND lease_until > {now})
			ON CONFLICT (record_key) DO UPDATE SET lease_owner = excluded.lease_owner, lease_until = {now} + @ttl
			WHERE stored.lease_until <= {now}`,
		},
	},
	"mysql": {
		ddl: "ddl/mysql.sql",
		// UTC, since UNIX_TIMESTAMP(NOW(6)) goes back an hour when summer time
		// ends. Not SYSDATE: it can't be replicated by statements.
		now: `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`,
		// An integer out of range is an error, also with IGNORE and whatever the
		// sql_mode, before a row is looked at:
		// https://dev.mysql.com/doc/refman/8.4/en/out-of-range-and-overflow.html
		commits: `9223372036854775807 + (1 - @@autocommit) > 0`,

		// VALUES(data) is deprecated in MySQL since 8.0.20 in favour of a name
		// for the new row, which MariaDB doesn't know.
		overwrite: []string{
			`INSERT INTO {table} (record_key, data, version, modified) VALUES (@key, @data, @version, {saved})
			ON DUPLICATE KEY UPDATE data = VALUES(data), version = VALUES(version), modified = VALUES(modified)`,
		},
		// ON DUPLICATE KEY UPDATE has no condition, and if the program connects with
		// clientFoundRows, it reports the number of rows of an insertion for a row that
		// it leaves alone. Hence there are two statements; the one that usually succeeds
		// comes first.
		//
		// It does no harm if a row comes or goes between the two: a caller that is told
		// of a conflict, or of a held lease, that is over by now looks again.
		create: []string{
			`INSERT IGNORE INTO {table} (record_key, data, version, modified) VALUES (@key, @data, @version, {saved})`,
			`UPDATE {table} SET data = @data, version = @version, modified = {saved} WHERE record_key = @key AND data IS NULL`,
		},
		acquire: []string{
			`UPDATE {table} SET lease_owner = @owner, lease_until = {now} + @ttl WHERE record_key = @key AND lease_until <= {now}`,
			`INSERT IGNORE INTO {table} (record_key, lease_owner, lease_until) VALUES (@key, @owner, {now} + @ttl)`,
		},
	},
}

// upsert is the form that SQLite has from PostgreSQL.
var upsert = dialect{
	overwrite: []string{
		`INSERT INTO {table} (record_key, data, version, modified) VALUES (@key, @data, @version, {saved})
		ON CONFLICT (record_key) DO UPDATE SET data = excluded.data, version = excluded.version, modified = excluded.modified`,
	},
	create: []string{
		`INSERT INTO {table} AS stored (record_key, data, version, modified) VALUES (@key, @data, @version, {saved})
		ON CONFLICT (record_key) DO UPDATE SET data = excluded.data, version = excluded.version, modified = excluded.modified
		WHERE stored.data IS NULL`,
	},
	acquire: []string{
		`INSERT INTO {table} AS stored (record_key, lease_owner, lease_until) VALUES (@key, @owner, {now} + @ttl)
		ON CONFLICT (record_key) DO UPDATE SET lease_owner = excluded.lease_owner, lease_until = {now} + @ttl
		WHERE stored.lease_until <= {now}`,
	},
}

// statement is one statement in the driver's form.
type statement struct {
	text    string
	guarded string   // the same, with the dialect's condition commits
	params  []string // whose argument stands at each placeholder
}

// statements are those that a Backend executes.
type statements struct {
	createTable statement

	load, check statement

	overwrite, create, replace []statement

	// A Delete removes the row or, if the lease is held, the record in it.
	remove []statement

	held, acquire []statement
	renew         statement

	// A Release removes the row, if the lease is all there is in it. The last
	// part is for a record that came between the two before.
	release []statement

	look       []statement // at more and more records
	keys, ping statement
}

// statements returns those for a table. With notify, changes are also reported on the
// channel.
func (d dialect) statements(table string, notify bool) statements {
	fill := strings.NewReplacer("{table}", table, "{now}", d.now, "{saved}", cmp.Or(d.saved, d.now)).Replace
	one := func(text string) statement { return d.statement(fill(text)) }
	all := func(parts []string, end string) (filled []statement) {
		for _, part := range parts {
			filled = append(filled, one(part+end))
		}
		return filled
	}
	told := ""
	if notify {
		told = ` RETURNING pg_notify('` + channel + `', @news)`
	}
	news := func(parts ...string) []statement { return all(parts, told) }
	const mine = ` WHERE record_key = @key AND lease_owner = @owner AND lease_until > {now}`
	s := statements{
		createTable: statement{text: d.definition(table), guarded: d.definition(table)}, // commits by itself

		load:  one(`SELECT data, version, modified FROM {table} WHERE record_key = @key AND data IS NOT NULL`),
		check: one(`SELECT 1 FROM {table} WHERE record_key = @key AND data IS NOT NULL`),

		overwrite: news(d.overwrite...),
		create:    news(d.create...),
		replace: news(`UPDATE {table} SET data = @data, version = @version, modified = {saved}
			WHERE record_key = @key AND version = @known AND data IS NOT NULL`),

		remove: news(`DELETE FROM {table} WHERE record_key = @key AND lease_until <= {now}`,
			`UPDATE {table} SET data = NULL, version = 0, modified = 0 WHERE record_key = @key AND data IS NOT NULL`),

		held:    all(d.held, ""),
		acquire: all(d.acquire, ""),
		renew:   one(`UPDATE {table} SET lease_until = {now} + @ttl` + mine),
		release: news(`UPDATE {table} SET lease_owner = '', lease_until = 0`+mine+` AND data IS NOT NULL`,
			`DELETE FROM {table}`+mine+` AND data IS NULL`,
			`UPDATE {table} SET lease_owner = '', lease_until = 0`+mine),

		keys: one(`SELECT record_key FROM {table} WHERE record_key > @after AND data IS NOT NULL ORDER BY record_key LIMIT 500`),
		ping: one(`SELECT record_key, data, version, modified, lease_owner, lease_until FROM {table} WHERE 1 = 0`),
	}
	for _, records := range []int{1, 8, 64} {
		s.look = append(s.look, one(`SELECT record_key, data IS NOT NULL, version, lease_until - {now} FROM {table}
			WHERE record_key IN (@key`+strings.Repeat(", @key", records-1)+`)`))
	}
	return s
}

var parameter = regexp.MustCompile(`@[a-z]+`)

// statement replaces the @names of parameters by the dialect's placeholders, and adds the
// guarded form.
func (d dialect) statement(text string) statement {
	var params []string
	text = parameter.ReplaceAllStringFunc(text, func(name string) string {
		params = append(params, name[1:])
		if d.numbered {
			return "$" + strconv.Itoa(len(params))
		}
		return "?"
	})
	return statement{text: text, guarded: d.guard(text), params: params}
}

// guard puts the condition commits into a statement. In a row that is inserted, one of
// the values is multiplied by the condition, which is 1.
func (d dialect) guard(text string) string {
	switch {
	case d.commits == "":
		return text
	case strings.Contains(text, " WHERE "):
		return strings.Replace(text, " WHERE ", " WHERE "+d.commits+" AND ", 1)
	}
	return strings.Replace(text, d.now, "("+d.commits+") * "+d.now, 1)
}

// definition is the DDL file's statement for another table.
func (d dialect) definition(table string) string {
	text, err := ddl.ReadFile(d.ddl)
	if err != nil {
		return "" // happens only if the file is renamed, which the tests would notice
	}
	return strings.Replace(string(text), " "+DefaultTable+" (", " "+table+" (", 1)
}
