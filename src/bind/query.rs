//! `Bound` for Diesel's query nodes: a query has the bind of the tables that it reads or writes.
//!
//! Set operations are missing: their types cannot be named outside of Diesel. They name their bind with
//! `session.on(..)`, as everything without a table does.

use std::any::TypeId;

use diesel::QuerySource;
use diesel::internal::table_macro::{
    BoxedSelectStatement, FromClause, Join, JoinOn, NoFromClause, SelectStatement,
};
use diesel::query_builder::{DeleteStatement, InsertStatement, UpdateStatement};
use diesel::query_source::{Alias, AliasSource};

use crate::bind::{Access, Bind, Bound};

impl<F, S, D, W, O, L, G, H, K> Bound for SelectStatement<F, S, D, W, O, L, G, H, K>
where
    F: From,
    K: 'static,
{
    type Bind = F::Bind;

    fn access() -> Access {
        if TypeId::of::<K>() == TypeId::of::<NoLocking>() {
            Access::Read
        } else {
            Access::Write
        }
    }
}

/// What a select reads from. A trait of its own, so that the compiler can say what is wrong with a select from nothing.
#[diagnostic::on_unimplemented(
    message = "a select without a table does not tell its bind",
    label = "its database is not known",
    note = "name it: `.get_result(&session.on(Bind))`"
)]
pub trait From {
    type Bind: Bind;
}

impl<F: QuerySource + Bound> From for FromClause<F> {
    type Bind = F::Bind;
}

/// Diesel does not export the type of an absent locking clause, but it is the default of a parameter.
type NoLocking = <SelectStatement<NoFromClause, ()> as Locking>::Clause;

trait Locking {
    type Clause;
}

impl<F, S, D, W, O, L, G, H, K> Locking for SelectStatement<F, S, D, W, O, L, G, H, K> {
    type Clause = K;
}

/// Diesel does not box a query that has a locking clause.
impl<ST, F, DB, GB> Bound for BoxedSelectStatement<'_, ST, F, DB, GB>
where
    F: From,
{
    type Bind = F::Bind;

    fn access() -> Access {
        Access::Read
    }
}

impl<T, U, Op, Ret> Bound for InsertStatement<T, U, Op, Ret>
where
    T: QuerySource + Bound,
{
    type Bind = T::Bind;
}

impl<T, U, V, Ret> Bound for UpdateStatement<T, U, V, Ret>
where
    T: QuerySource + Bound,
{
    type Bind = T::Bind;
}

impl<T, U, Ret> Bound for DeleteStatement<T, U, Ret>
where
    T: QuerySource + Bound,
{
    type Bind = T::Bind;
}

impl<J: Bound, On> Bound for JoinOn<J, On> {
    type Bind = J::Bind;

    fn access() -> Access {
        Access::Read
    }
}

impl<Left, Right, Kind> Bound for Join<Left, Right, Kind>
where
    Left: QuerySource + Bound,
    Right: QuerySource + Bound,
    Left::Bind: Joins<Right::Bind>,
{
    type Bind = Left::Bind;

    fn access() -> Access {
        Access::Read
    }
}

/// Tables can be joined that have one bind. A trait of its own, so that the compiler can say what is wrong with others.
#[diagnostic::on_unimplemented(
    message = "a join over two databases: its tables belong to `{Self}` and `{Other}`",
    label = "this database does not have all of the tables",
    note = "load from the one first, then from the other by what was found: `.filter(id.eq_any(found))`"
)]
pub trait Joins<Other> {}

impl<B: Bind> Joins<B> for B {}

impl<S> Bound for Alias<S>
where
    S: AliasSource,
    S::Target: Bound,
{
    type Bind = <S::Target as Bound>::Bind;

    fn access() -> Access {
        Access::Read
    }
}

#[cfg(feature = "postgres")]
impl<S: Bound> Bound for diesel::query_builder::Only<S> {
    type Bind = S::Bind;

    fn access() -> Access {
        Access::Read
    }
}

#[cfg(feature = "postgres")]
impl<S, M> Bound for diesel::query_builder::Tablesample<S, M>
where
    S: Bound,
    M: diesel::query_builder::TablesampleMethod,
{
    type Bind = S::Bind;

    fn access() -> Access {
        Access::Read
    }
}
