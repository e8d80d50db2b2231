-- The tables of the commit protocol of diesel-binds. May be run again: what exists stays.
CREATE TABLE IF NOT EXISTS public.diesel_binds_meta (
    one smallint PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    holder_id text NOT NULL,
    version integer NOT NULL,
    horizon text
);

INSERT INTO public.diesel_binds_meta (holder_id, version)
SELECT replace(gen_random_uuid()::text, '-', ''), 1
ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS public.diesel_binds_decision (
    unit text COLLATE "C" PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('commit', 'abort')),
    participants text NOT NULL,
    at timestamptz NOT NULL DEFAULT current_timestamp
);
