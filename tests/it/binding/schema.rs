//! The tables and models of one backend, over the binds of the module that mounts this file.

use diesel::prelude::*;
use diesel_binds::{Bound, bind_tables};

use super::{Main, Other};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        boss_id -> Nullable<Integer>,
    }
}

diesel::table! {
    posts (id) {
        id -> Integer,
        user_id -> Integer,
        title -> Text,
    }
}

diesel::table! {
    comments (id) {
        id -> Integer,
        post_id -> Integer,
        body -> Text,
    }
}

diesel::table! {
    archive (id) {
        id -> Integer,
        name -> Text,
    }
}

diesel::joinable!(posts -> users (user_id));
diesel::joinable!(comments -> posts (post_id));
diesel::allow_tables_to_appear_in_same_query!(users, posts, comments, archive);

/// Tables of the same names in another database.
pub(crate) mod other {
    diesel::table! {
        users (id) {
            id -> Integer,
            name -> Text,
            boss_id -> Nullable<Integer>,
        }
    }
}

bind_tables! {
    Main => comments, archive;
    Other => other::users;
}

#[derive(
    Clone,
    Debug,
    PartialEq,
    Queryable,
    Selectable,
    Identifiable,
    Insertable,
    AsChangeset,
    QueryableByName,
    Bound,
)]
#[diesel(table_name = users)]
#[diesel(treat_none_as_null = true)]
#[bind(Main)]
pub(crate) struct User {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) boss_id: Option<i32>,
}

/// A second model of the same table.
#[derive(Clone, Insertable, Bound)]
#[diesel(table_name = users)]
pub(crate) struct NewUser<'a> {
    pub(crate) name: &'a str,
}

#[derive(Debug, PartialEq, Queryable, Selectable, Identifiable, Associations, Bound)]
#[diesel(table_name = posts, belongs_to(User))]
#[bind(Main)]
pub(crate) struct Post {
    pub(crate) id: i32,
    pub(crate) user_id: i32,
    pub(crate) title: String,
}

pub(crate) fn user(id: i32, name: &str, boss_id: impl Into<Option<i32>>) -> User {
    User {
        id,
        name: name.into(),
        boss_id: boss_id.into(),
    }
}
