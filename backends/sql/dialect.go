package sql

import (
	"embed"
	"strings"
)

//go:embed ddl/*.sql
var ddl embed.FS

// dialect is how one database differs from the others.
type dialect struct {
	ddl string // the file of the table's definition
	now string // microseconds since 1970

	// Whether somebody holds the lease, asked before it is tried. Only SQLite
	// needs it, where an attempt takes the lock on the whole file: those who
	// wait for a lease must not get in the way of those who save.
	held string

	// Writes that insert the row or change it. Their parts run one after the
	// other until one of them changes a row.
	overwrite, create, acquire []string
}

// dialects by gorm's names for them.
var dialects = map[string]dialect{
	"sqlite": {
		ddl: "ddl/sqlite.sql",
		now: `CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)`,

		held:      `SELECT 1 FROM {table} WHERE record_key = @key AND lease_until > {now}`,
		overwrite: upsert.overwrite, create: upsert.create, acquire: upsert.acquire,
	},
	"postgres": {
		ddl: "ddl/postgres.sql",
		// Not now(), which is when the statement began: it may have waited
		// for another's since.
		now: `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`,

		overwrite: upsert.overwrite, create: upsert.create, acquire: upsert.acquire,
	},
	"mysql": {
		ddl: "ddl/mysql.sql",
		// UTC, since UNIX_TIMESTAMP(NOW(6)) goes back an hour when summer time
		// ends. Not SYSDATE: it can't be replicated by statements.
		now: `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`,

		overwrite: []string{
			`INSERT INTO {table} (record_key, data, version, modified) VALUES (@key, @data, @version, {now})
			ON DUPLICATE KEY UPDATE data = VALUES(data), version = VALUES(version), modified = VALUES(modified)`,
		},
		// ON DUPLICATE KEY UPDATE has no condition, and the number of rows it
		// reports for a row it leaves alone is that of an insertion if the
		// program connects with clientFoundRows. Hence two statements: the one
		// that usually does comes first.
		//
		// Nothing is amiss if a row comes or goes between the two: a caller who
		// is told of a conflict, or a lease held, that is over by now looks again.
		create: []string{
			`INSERT IGNORE INTO {table} (record_key, data, version, modified) VALUES (@key, @data, @version, {now})`,
			`UPDATE {table} SET data = @data, version = @version, modified = {now} WHERE record_key = @key AND data IS NULL`,
		},
		acquire: []string{
			`UPDATE {table} SET lease_owner = @owner, lease_until = {now} + @ttl WHERE record_key = @key AND lease_until <= {now}`,
			`INSERT IGNORE INTO {table} (record_key, lease_owner, lease_until) VALUES (@key, @owner, {now} + @ttl)`,
		},
	},
}

// upsert is what SQLite has from PostgreSQL.
var upsert = dialect{
	overwrite: []string{
		`INSERT INTO {table} (record_key, data, version, modified) VALUES (@key, @data, @version, {now})
		ON CONFLICT (record_key) DO UPDATE SET data = excluded.data, version = excluded.version, modified = excluded.modified`,
	},
	create: []string{
		`INSERT INTO {table} AS stored (record_key, data, version, modified) VALUES (@key, @data, @version, {now})
		ON CONFLICT (record_key) DO UPDATE SET data = excluded.data, version = excluded.version, modified = excluded.modified
		WHERE stored.data IS NULL`,
	},
	acquire: []string{
		`INSERT INTO {table} AS stored (record_key, lease_owner, lease_until) VALUES (@key, @owner, {now} + @ttl)
		ON CONFLICT (record_key) DO UPDATE SET lease_owner = excluded.lease_owner, lease_until = {now} + @ttl
		WHERE stored.lease_until <= {now}`,
	},
}

// statements are what a Backend says to its database, with @names for the
// parameters.
type statements struct {
	createTable string

	load, check string

	overwrite, create, replace []string

	// A Delete removes the row, or where somebody holds the lease, the record
	// in it.
	remove []string

	held                      string // empty: just try
	acquire                   []string
	renew, release, dropEmpty string

	keys, ping string
}

func (d dialect) statements(table string) statements {
	fill := strings.NewReplacer("{table}", table, "{now}", d.now).Replace
	all := func(parts ...string) []string {
		filled := make([]string, len(parts))
		for i, part := range parts {
			filled[i] = fill(part)
		}
		return filled
	}
	return statements{
		createTable: d.definition(table),

		load:  fill(`SELECT data, version, modified FROM {table} WHERE record_key = @key AND data IS NOT NULL`),
		check: fill(`SELECT 1 FROM {table} WHERE record_key = @key AND data IS NOT NULL`),

		overwrite: all(d.overwrite...),
		create:    all(d.create...),
		replace: all(`UPDATE {table} SET data = @data, version = @version, modified = {now}
			WHERE record_key = @key AND version = @known AND data IS NOT NULL`),

		remove: all(`DELETE FROM {table} WHERE record_key = @key AND lease_until <= {now}`,
			`UPDATE {table} SET data = NULL, version = 0, modified = 0 WHERE record_key = @key AND data IS NOT NULL`),

		held:      fill(d.held),
		acquire:   all(d.acquire...),
		renew:     fill(`UPDATE {table} SET lease_until = {now} + @ttl WHERE record_key = @key AND lease_owner = @owner AND lease_until > {now}`),
		release:   fill(`UPDATE {table} SET lease_owner = '', lease_until = 0 WHERE record_key = @key AND lease_owner = @owner AND lease_until > {now}`),
		dropEmpty: fill(`DELETE FROM {table} WHERE record_key = @key AND data IS NULL AND lease_until <= {now}`),

		keys: fill(`SELECT record_key FROM {table} WHERE record_key > @after AND data IS NOT NULL ORDER BY record_key LIMIT 500`),
		ping: fill(`SELECT record_key, data, version, modified, lease_owner, lease_until FROM {table} WHERE 1 = 0`),
	}
}

// definition is the DDL file's statement, for another table.
func (d dialect) definition(table string) string {
	text, err := ddl.ReadFile(d.ddl)
	if err != nil {
		return "" // not without its file being renamed; the tests would know
	}
	return strings.Replace(string(text), " "+DefaultTable+" (", " "+table+" (", 1)
}
