-- The table of graphtoken's SQL backend, for SQLite.
-- Times are microseconds since 1970.
-- A row whose data is NULL is no record: it holds a lease.
CREATE TABLE IF NOT EXISTS graphtoken (
    record_key  TEXT COLLATE BINARY NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL DEFAULT 0,
    modified    INTEGER NOT NULL DEFAULT 0,
    lease_owner TEXT    NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0,
    data        BLOB
)
