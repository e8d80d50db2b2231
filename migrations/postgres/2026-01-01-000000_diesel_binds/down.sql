-- Only when no unit is in doubt: a lost decision cannot be made up.
DROP TABLE public.diesel_binds_forced;
DROP TABLE public.diesel_binds_horizon;
DROP TABLE public.diesel_binds_decision;
DROP TABLE public.diesel_binds_meta;
