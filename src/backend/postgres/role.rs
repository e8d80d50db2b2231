//! The role that a unit set for its transaction.

/// Ends a `SET LOCAL ROLE` of the application. Deferred checks and triggers run before, with the rights of that role.
pub(super) const LEAVE_ROLE: &str = "SET CONSTRAINTS ALL IMMEDIATE; \
                          SELECT pg_catalog.set_config('role', pg_catalog.current_setting('diesel_binds.role'), true)";
