-- The tables of the commit protocol of diesel-binds. May be run again: existing tables stay.
CREATE TABLE IF NOT EXISTS diesel_binds_meta (
    one TINYINT PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    holder_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version INTEGER NOT NULL
) ENGINE = InnoDB;

INSERT IGNORE INTO diesel_binds_meta (one, holder_id, version)
VALUES (1, LEFT(SHA2(CONCAT(UUID(), RAND(), NOW(6)), 256), 32), 2);

-- The outcomes of units. Only their own application deletes the records of commits. `forced`: an operator has decided
-- in the place of this database, which has no other record of the unit.
CREATE TABLE IF NOT EXISTS diesel_binds_decision (
    unit VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    outcome VARCHAR(6) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (outcome IN ('commit', 'abort', 'forced')),
    participants TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    namespace VARCHAR(31) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB;

-- The records of units up to this one may have been deleted. `moved_at` is in seconds since 1970.
CREATE TABLE IF NOT EXISTS diesel_binds_horizon (
    namespace VARCHAR(31) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    unit VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    moved_at BIGINT NOT NULL
) ENGINE = InnoDB;

-- A row of each branch with the holder of its unit, and the number of branches at the prepare. The name of the branch
-- was fixed before that.
CREATE TABLE IF NOT EXISTS diesel_binds_branch (
    unit VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    branch VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    holder VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    holder_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    connection_id BIGINT UNSIGNED NOT NULL,
    parts SMALLINT UNSIGNED NOT NULL,
    namespace VARCHAR(31) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (unit, branch)
) ENGINE = InnoDB;

-- The outcomes that operators have forced on units whose holder is lost.
CREATE TABLE IF NOT EXISTS diesel_binds_forced (
    unit VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    gid VARCHAR(199) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    outcome VARCHAR(6) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (outcome IN ('commit', 'abort')),
    reason TEXT CHARACTER SET utf8mb4 NOT NULL,
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB;
