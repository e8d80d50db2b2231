-- The tables of the commit protocol of diesel-binds. May be run again: what exists stays.
CREATE TABLE IF NOT EXISTS main.diesel_binds_meta (
    one INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    holder_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    horizon TEXT
);

INSERT OR IGNORE INTO main.diesel_binds_meta (one, holder_id, version)
VALUES (1, lower(hex(randomblob(16))), 1);

CREATE TABLE IF NOT EXISTS main.diesel_binds_decision (
    unit TEXT NOT NULL PRIMARY KEY,
    outcome TEXT NOT NULL CHECK (outcome IN ('commit', 'abort')),
    participants TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
