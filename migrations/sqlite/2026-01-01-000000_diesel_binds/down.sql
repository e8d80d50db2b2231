-- Run this only when no unit is in doubt: a lost decision cannot be restored.
DROP TABLE main.diesel_binds_horizon;
DROP TABLE main.diesel_binds_decision;
DROP TABLE main.diesel_binds_meta;
