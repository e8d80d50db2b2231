//! Models without a tag of their own: they take the bind of their table.

use binds::Bound;
use diesel::prelude::*;
use test_schema::accounts::{addresses, users};

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Identifiable, AsChangeset, Bound)]
#[diesel(table_name = users)]
pub struct User {
    pub id: i32,
    pub name: String,
    pub type_: Option<String>,
    pub balance: i64,
}

/// A second model of the same table.
#[derive(Insertable, Bound)]
#[diesel(table_name = users)]
pub struct NewUser<'a> {
    pub id: i32,
    pub name: &'a str,
    pub balance: i64,
}

/// Its table is found by its name, as Diesel finds it.
#[derive(
    Debug, PartialEq, Queryable, Selectable, Insertable, Identifiable, Associations, Bound,
)]
#[diesel(belongs_to(User), table_name = addresses)]
pub struct Address {
    pub id: i32,
    pub user_id: i32,
    pub city: String,
}

pub mod local {
    //! A model in a module of its own, which names its table by a path.

    use super::*;

    #[derive(Debug, PartialEq, Queryable, Insertable, Bound)]
    #[diesel(table_name = test_schema::settings)]
    pub struct Setting {
        pub name: String,
        pub value: String,
    }
}

/// A generic model.
#[derive(Debug, PartialEq, Queryable, Bound)]
#[diesel(table_name = test_schema::ledger::entries)]
pub struct Entry<Amount, const VERSION: usize = 1>
where
    Amount: Copy,
{
    pub id: i32,
    pub amount: Amount,
}

/// A generic model that borrows.
#[derive(Insertable, Bound)]
#[diesel(table_name = test_schema::ledger::tags)]
pub struct Tag<'a> {
    pub entry_id: i32,
    pub name: &'a str,
}
