-- The table of graphtoken's SQL backend, for MySQL and MariaDB.
-- VARBINARY compares and sorts by bytes: case and trailing spaces count.
-- Times are microseconds since 1970, by the database's clock.
-- A row whose data is NULL is no record: it holds a lease.
CREATE TABLE IF NOT EXISTS graphtoken (
    record_key  VARBINARY(255) NOT NULL PRIMARY KEY,
    version     BIGINT NOT NULL DEFAULT 0,
    modified    BIGINT NOT NULL DEFAULT 0,
    lease_owner VARBINARY(32) NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    data        MEDIUMBLOB
) ENGINE=InnoDB
