//! A table is tagged in the crate that declares it.

use binds::{Bound, bind_tables};
use diesel::prelude::*;
use test_schema::{Accounts, forgotten};

bind_tables!(Accounts => forgotten);

#[derive(Queryable, Bound)]
#[diesel(table_name = test_schema::accounts::users)]
#[bind(Accounts)]
pub struct Name {
    pub name: String,
}

fn main() {}
