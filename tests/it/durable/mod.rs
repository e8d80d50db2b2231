//! A confirmed commit survives the server that confirmed it, if that server is set up for it. An unconfirmed one is
//! never reported as committed.

mod abandoned;
mod copies;
mod elsewhere;
mod operator;
mod replica_away;
mod replicated;
mod semisync;
mod settings;
mod waits;
