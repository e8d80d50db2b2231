-- Run this only when no unit is in doubt: a lost decision cannot be restored.
DROP TABLE public.diesel_binds_forced;
DROP TABLE public.diesel_binds_horizon;
DROP TABLE public.diesel_binds_decision;
DROP TABLE public.diesel_binds_meta;
