-- The tables of the commit protocol of diesel-binds. May be run again: existing tables stay.
-- `place` distinguishes this file from a copy of it, once the file has been used.
CREATE TABLE IF NOT EXISTS main.diesel_binds_meta (
    one INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    holder_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    place TEXT
);

INSERT OR IGNORE INTO main.diesel_binds_meta (one, holder_id, version)
VALUES (1, lower(hex(randomblob(16))), 2);

-- The outcomes of units. Only their own application deletes the records of commits. `forced`: an operator has decided
-- in the place of this database, which has no other record of the unit.
CREATE TABLE IF NOT EXISTS main.diesel_binds_decision (
    unit TEXT NOT NULL PRIMARY KEY,
    outcome TEXT NOT NULL CHECK (outcome IN ('commit', 'abort', 'forced')),
    participants TEXT NOT NULL,
    namespace TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- The records of units up to this one may have been deleted. `moved_at` is in seconds since 1970.
CREATE TABLE IF NOT EXISTS main.diesel_binds_horizon (
    namespace TEXT NOT NULL PRIMARY KEY,
    unit TEXT NOT NULL,
    moved_at INTEGER NOT NULL
);
