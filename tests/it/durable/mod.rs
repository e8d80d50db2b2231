//! What was confirmed outlives the server that confirmed it, where the server was told to make it so; and what was not is
//! never called committed.

mod abandoned;
mod elsewhere;
mod replicated;
mod semisync;
mod settings;
mod waits;
