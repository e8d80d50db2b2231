-- The tables of the commit protocol of diesel-binds. May be run again: what exists stays.
CREATE TABLE IF NOT EXISTS diesel_binds_meta (
    one TINYINT PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    holder_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version INTEGER NOT NULL,
    horizon VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin
) ENGINE = InnoDB;

INSERT IGNORE INTO diesel_binds_meta (one, holder_id, version)
VALUES (1, MD5(CONCAT(UUID(), RAND(), NOW(6))), 1);

CREATE TABLE IF NOT EXISTS diesel_binds_decision (
    unit VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    outcome VARCHAR(6) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (outcome IN ('commit', 'abort')),
    participants TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB;

-- A branch of a unit says who holds its decision: its name was fixed before that was known.
CREATE TABLE IF NOT EXISTS diesel_binds_branch (
    unit VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    branch VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    holder VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    holder_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    connection_id BIGINT UNSIGNED NOT NULL,
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (unit, branch)
) ENGINE = InnoDB;
