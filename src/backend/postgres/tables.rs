//! The checks of the protocol's tables on PostgreSQL. Every role may read these catalogs.

use crate::backend::postgres::SCHEMA;
use crate::backend::tables;

/// The first reason why a table does not meet the needs of the commit. A row must exist once and be visible to all from
/// the commit of its transaction on, also after a crash. A text, or null.
const UNFIT: &str = "(SELECT pg_catalog.concat_ws(':', o.name, f.word, f.detail) \
    FROM (VALUES ('diesel_binds_meta', NULL), ('diesel_binds_decision', 'unit'), \
        ('diesel_binds_horizon', 'namespace'), ('diesel_binds_forced', 'unit')) AS o (name, key) \
    JOIN pg_catalog.pg_class c ON c.relname = o.name AND c.relnamespace = 'public'::pg_catalog.regnamespace \
    CROSS JOIN LATERAL ( \
        SELECT 'kind' AS word, CASE c.relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' \
            WHEN 'f' THEN 'a foreign table' WHEN 'p' THEN 'partitioned' ELSE 'a partition' END AS detail \
            WHERE c.relkind <> 'r' OR c.relispartition \
        UNION ALL SELECT 'unlogged', '' WHERE c.relpersistence <> 'p' \
        UNION ALL SELECT 'security', '' WHERE pg_catalog.row_security_active(c.oid) \
        UNION ALL SELECT 'trigger', tgname::text FROM pg_catalog.pg_trigger \
            WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D' \
        UNION ALL SELECT 'rule', rulename::text FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid AND ev_enabled <> 'D' \
        UNION ALL SELECT 'inherited', inhrelid::pg_catalog.regclass::text FROM pg_catalog.pg_inherits \
            WHERE inhparent = c.oid \
        UNION ALL SELECT 'generated', attname::text FROM pg_catalog.pg_attribute \
            WHERE attrelid = c.oid AND attnum > 0 AND (attgenerated <> '' OR attidentity = 'a') \
        UNION ALL SELECT 'nullable', attname::text FROM pg_catalog.pg_attribute \
            WHERE attrelid = c.oid AND attname = o.key AND NOT attnotnull \
        UNION ALL SELECT 'collation', a.attname::text FROM pg_catalog.pg_attribute a \
            JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
            WHERE a.attrelid = c.oid AND CASE a.attname WHEN 'unit' THEN l.collname NOT IN ('C', 'POSIX') \
                WHEN o.key THEN NOT l.collisdeterministic END \
        UNION ALL SELECT 'key', o.key WHERE o.key IS NOT NULL AND NOT EXISTS ( \
            SELECT 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = o.key \
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL \
            AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND i.indcollation[0] = a.attcollation) \
    ) AS f LIMIT 1)";

/// The privilege on the tables that the role lacks, and that a unit with several writers needs. A text, or null.
const DENIED: &str = "CASE WHEN NOT pg_catalog.has_column_privilege('public.diesel_binds_decision', 'unit', 'INSERT') \
    THEN 'diesel_binds_decision:denied:INSERT' END";

/// The query whether the tables are there.
pub(super) const EXIST: &str = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class \
    WHERE relname = 'diesel_binds_meta' AND relnamespace = 'public'::pg_catalog.regnamespace) AS found";

/// Returns the query for the row of `diesel_binds_meta`, for reading only.
pub(super) fn meta() -> String {
    tables::meta(SCHEMA, UNFIT)
}

/// Returns the query for the row of `diesel_binds_meta`, for a writer of a unit.
pub(super) fn meta_for_writer() -> String {
    tables::meta(SCHEMA, &format!("coalesce({UNFIT}, {DENIED})"))
}
