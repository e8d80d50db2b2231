-- Run this only when no unit is in doubt: a lost decision cannot be restored.
DROP TABLE diesel_binds_forced;
DROP TABLE diesel_binds_branch;
DROP TABLE diesel_binds_horizon;
DROP TABLE diesel_binds_decision;
DROP TABLE diesel_binds_meta;
