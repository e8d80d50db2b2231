//! The binds of these tests.

use diesel_async::AsyncMysqlConnection;
use diesel_binds::Bind;

pub use crate::registry::binds::{Accounts, Archive, Cache, Ledger, Orders};

#[derive(Bind, Default)]
#[bind(key = "journal", connection = AsyncMysqlConnection)]
pub struct Journal;
