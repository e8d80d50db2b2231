//! A source for Diesel's queries that has the tables of one bind only.
//!
//! Diesel restricts every expression to the tables of its query (`AppearsOnTable`), through functions, operators and
//! subqueries, both its own and the application's. With this source in the place of the query's own, the same rules
//! refuse each table that does not belong to the bind. A walk of our own would need a trait on every node, and cannot
//! name them all.

use std::marker::PhantomData;

use diesel::QuerySource;
use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate,
};
use diesel::query_source::{AppearsInFromClause, Never};
use diesel::sql_types::Bool;

use crate::bind::Bound;

/// The source `F`, restricted to tables of the bind `B`, also in subqueries.
#[derive(Debug)]
pub struct Within<F, B>(PhantomData<(F, B)>);

/// The source for a value of an insert, which can refer to no table.
#[derive(Debug)]
pub enum NoTables {}

/// The selection of a source that is never read.
#[derive(Debug)]
pub enum NoSelection {}

impl<F, B> Clone for Within<F, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F, B> Copy for Within<F, B> {}

impl<T, F, B> AppearsInFromClause<T> for Within<F, B>
where
    F: AppearsInFromClause<T>,
    T: Bound<Bind = B>,
{
    type Count = F::Count;
}

impl<T> AppearsInFromClause<T> for NoTables {
    type Count = Never;
}

impl<F, B> QuerySource for Within<F, B> {
    type FromClause = ();
    type DefaultSelection = NoSelection;

    fn from_clause(&self) {}

    fn default_selection(&self) -> NoSelection {
        unreachable!("no statement has this source: it is for the compiler")
    }
}

impl Expression for NoSelection {
    type SqlType = Bool;
}

impl<Source: ?Sized> AppearsOnTable<Source> for NoSelection {}

impl<Source: ?Sized> SelectableExpression<Source> for NoSelection {}

impl<Group> ValidGrouping<Group> for NoSelection {
    type IsAggregate = is_aggregate::Never;
}
