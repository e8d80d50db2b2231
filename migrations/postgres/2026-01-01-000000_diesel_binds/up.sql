-- The tables of the commit protocol of diesel-binds. May be run again: existing tables stay.
CREATE TABLE IF NOT EXISTS public.diesel_binds_meta (
    one smallint PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    holder_id text NOT NULL,
    version integer NOT NULL
);

INSERT INTO public.diesel_binds_meta (holder_id, version)
SELECT replace(gen_random_uuid()::text, '-', ''), 2
ON CONFLICT DO NOTHING;

-- The outcomes of units. Only their own application deletes the records of commits. `forced`: an operator has decided
-- in the place of this database, which has no other record of the unit.
CREATE TABLE IF NOT EXISTS public.diesel_binds_decision (
    unit text COLLATE "C" PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('commit', 'abort', 'forced')),
    participants text NOT NULL,
    namespace text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT current_timestamp
);

-- The records of units up to this one may have been deleted. `moved_at` is in seconds since 1970.
CREATE TABLE IF NOT EXISTS public.diesel_binds_horizon (
    namespace text PRIMARY KEY,
    unit text COLLATE "C" NOT NULL,
    moved_at bigint NOT NULL
);

-- The outcomes that operators have forced on units whose holder is lost.
CREATE TABLE IF NOT EXISTS public.diesel_binds_forced (
    unit text COLLATE "C" PRIMARY KEY,
    gid text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('commit', 'abort')),
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT current_timestamp
);
