-- The table of graphtoken's SQL backend, for PostgreSQL.
-- Keys compare and sort by their bytes, whatever the database's collation is.
-- Times are microseconds since 1970, by the database's clock.
-- A row whose data is NULL is no record: it holds a lease.
CREATE TABLE IF NOT EXISTS graphtoken (
    record_key  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version     BIGINT NOT NULL DEFAULT 0,
    modified    BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT   NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    data        BYTEA
)
