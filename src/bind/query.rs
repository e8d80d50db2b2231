//! `Bound` for Diesel's query nodes: a query has the bind of the tables that it reads or writes, and all of them must have it.
//!
//! Set operations are missing: their types cannot be named outside of Diesel. They name their bind with
//! `session.on(..)`, as everything without a table does.

use std::any::{TypeId, type_name};

use diesel::expression::AppearsOnTable;
use diesel::internal::table_macro::{
    BoxedSelectStatement, FromClause, Join, JoinOn, NoFromClause, SelectStatement,
};
use diesel::query_builder::{
    BoxedDeleteStatement, BoxedUpdateStatement, DeleteStatement, InsertStatement, NoOrderClause,
    OrderClause, Query, QueryFragment, ReturningClause, SelectClauseExpression, UpdateStatement,
};
use diesel::query_dsl::methods::FilterDsl;
use diesel::query_source::{Alias, AliasSource};
use diesel::{QuerySource, Table};

use crate::bind::rows::RowsOf;
use crate::bind::within::{Nothing, Nowhere, Within};
use crate::bind::{Access, Bind, Bound};

/// The type of a statement tells all that must be known of it.
#[derive(Debug)]
pub enum Typed {}

/// An insert that handles conflicts. Diesel does not export its type, so where its rows come from is looked at when it runs.
#[derive(Debug)]
pub enum Upsert {}

/// An update or a delete whose conditions have no type any more.
#[derive(Debug)]
pub enum Boxed {}

impl<F, S, D, W, O, L, G, H, K> Bound for SelectStatement<F, S, D, W, O, L, G, H, K>
where
    F: From,
    F::Bind: Selects<F, S> + Finds<F::Source, W> + Orders<F::Source, O>,
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
    type Source: QuerySource;
    type Bind: Bind;
}

impl<F: QuerySource + Bound> From for FromClause<F> {
    type Source = F;
    type Bind = F::Bind;
}

// The traits below are of the bind and not of the query, so that a table without a bind is told as that alone. Their
// implementations are not recommended, or the compiler would tell of Diesel's rules, and not of ours.

/// A bind that has all that the selection `S` of a select from `F` reads.
#[diagnostic::on_unimplemented(
    message = "the selection of a query on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load from the one first, then from the other by what was found: `.filter(id.eq_any(found))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait Selects<F, S> {}

#[diagnostic::do_not_recommend]
impl<B, F, S> Selects<F, S> for B
where
    F: From,
    S: SelectClauseExpression<F, Selection: AppearsOnTable<Within<F::Source, B>>>,
{
}

/// A bind that has all that the conditions `W` of a query over `F` read.
#[diagnostic::on_unimplemented(
    message = "a condition of a query on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load from the one first, then from the other by what was found: `.filter(id.eq_any(found))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait Finds<F, W> {}

#[diagnostic::do_not_recommend]
impl<B, F, W> Finds<F, W> for B where Conditions<F, B, W>: Query {}

/// A bind that has all that the order `O` of a select from `F` reads.
#[diagnostic::on_unimplemented(
    message = "the order of a query on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load from the one first, then from the other by what was found: `.filter(id.eq_any(found))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait Orders<F, O> {}

impl<B, F> Orders<F, NoOrderClause> for B {}

#[diagnostic::do_not_recommend]
impl<B, F, E: AppearsOnTable<Within<F, B>>> Orders<F, OrderClause<E>> for B {}

/// A bind that has all that the condition of a join over `J` reads.
#[diagnostic::on_unimplemented(
    message = "the condition of a join on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load from the one first, then from the other by what was found: `.filter(id.eq_any(found))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait Matches<J, On> {}

#[diagnostic::do_not_recommend]
impl<B, J, On: AppearsOnTable<Within<J, B>>> Matches<J, On> for B {}

/// A bind that has all that the `RETURNING` of a statement on `T` reads.
#[diagnostic::on_unimplemented(
    message = "the `RETURNING` of a statement on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load from the one first, then from the other by what was found: `.filter(id.eq_any(found))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait Returns<T, Ret> {}

impl<B, T> Returns<T, NoReturning> for B {}

#[diagnostic::do_not_recommend]
impl<B, T, E: AppearsOnTable<Within<T, B>>> Returns<T, ReturningClause<E>> for B {}

/// A select with the conditions `W`. It is a query where they are valid on `F`, and all that they read has the bind `B`.
type Conditions<F, B, W> = SelectStatement<FromClause<Within<F, B>>, AllOf<F, B>, NoDistinct, W>;

type AllOf<F, B> = <SelectStatement<FromClause<Within<F, B>>> as Clauses>::Select;

/// Diesel does not export the types of absent clauses, but they are the defaults of its parameters.
type NoDistinct = <SelectStatement<NoFromClause, ()> as Clauses>::Distinct;

type NoReturning = <InsertStatement<Within<Nowhere, ()>, ()> as Returning>::Clause;

trait Returning {
    type Clause;
}

impl<T: QuerySource, U, Op, Ret> Returning for InsertStatement<T, U, Op, Ret> {
    type Clause = Ret;
}

type NoLocking = <SelectStatement<NoFromClause, ()> as Clauses>::Locking;

pub trait Clauses {
    type Select;
    type Distinct;
    type Locking;
}

impl<F, S, D, W, O, L, G, H, K> Clauses for SelectStatement<F, S, D, W, O, L, G, H, K> {
    type Select = S;
    type Distinct = D;
    type Locking = K;
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

impl<T, U, Op, Ret, Form> Bound<Form> for InsertStatement<T, U, Op, Ret>
where
    T: QuerySource + Bound,
    T::Bind: Returns<T, Ret>,
    Self: Fills<T::Bind, Form>,
{
    type Bind = T::Bind;

    fn reads_unknown() -> bool {
        Self::FROM_UNKNOWN && has_query(type_name::<U>())
    }
}

/// An insert whose rows come from the bind `B` alone, as far as a statement of this form tells.
#[diagnostic::on_unimplemented(
    message = "an insert into `{B}` whose rows are not known to come from there",
    label = "a table that it reads belongs to another bind, or to none",
    note = "load the rows first, then insert them; with no other bind in it, name this one: `.execute(&session.on(Bind))`"
)]
pub trait Fills<B, Form> {
    /// Whether the type does not tell.
    const FROM_UNKNOWN: bool;
}

impl<T, U, Op, Ret, B> Fills<B, Typed> for InsertStatement<T, U, Op, Ret>
where
    T: QuerySource,
    B: Bind,
    U: QueryFragment<RowsOf<B>>,
{
    const FROM_UNKNOWN: bool = false;
}

// Of inserts, only those that handle conflicts have conditions: so the compiler finds the one implementation that holds.
impl<T, U, Op, Ret, B> Fills<B, Upsert> for InsertStatement<T, U, Op, Ret>
where
    T: QuerySource,
    Self: FilterDsl<Nothing>,
{
    const FROM_UNKNOWN: bool = true;
}

/// Whether a query that Diesel builds may have text in it, by the name of its type: as a fragment, or within what is boxed. An
/// update, a list of values and several rows at once have none, although Diesel names them by no type either.
pub(crate) fn may_have_text(query: &str) -> bool {
    ["SqlLiteral<", "Boxed", "dyn "]
        .iter()
        .any(|part| query.contains(part))
}

/// Whether a query has a subquery that was boxed, by the name of its type: Diesel lets that read any table. Nothing is said of
/// a query that is boxed as a whole, and the compiler knows a boxed query whose rows are inserted.
pub(crate) fn has_boxed_subquery(query: &str) -> bool {
    const BOXED: &str = "BoxedSelectStatement<";
    query.match_indices(BOXED).any(|(start, _)| {
        let before =
            query[..start].trim_end_matches(|c: char| c == ':' || c == '_' || c.is_alphanumeric());
        !before.is_empty() && !before.ends_with("InsertFromSelect<")
    })
}

/// Whether the rows of an upsert come from a query, or have a subquery among their values. Nothing but the name of the type
/// tells: its first parameter is that of the rows.
fn has_query(upsert: &str) -> bool {
    let parameters = upsert.split_once('<').map_or(upsert, |(_, rest)| rest);
    let mut depth = 0_usize;
    let end = parameters.find(|character| {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    let rows = end.map_or(parameters, |end| &parameters[..end]);
    rows.contains("SelectStatement<") || rows.contains("Subselect<")
}

impl<T, U, V, Ret, Form> Bound<Form> for UpdateStatement<T, U, V, Ret>
where
    T: QuerySource + Bound,
    T::Bind: Returns<T, Ret>,
    Self: Touches<T::Bind, Form>,
{
    type Bind = T::Bind;
}

impl<T, U, Ret, Form> Bound<Form> for DeleteStatement<T, U, Ret>
where
    T: QuerySource + Bound,
    T::Bind: Returns<T, Ret>,
    Self: Touches<T::Bind, Form>,
{
    type Bind = T::Bind;
}

/// An update or a delete whose conditions read the bind `B` alone, as far as a statement of this form tells.
pub trait Touches<B, Form> {}

impl<T, U, V, Ret, B> Touches<B, Typed> for UpdateStatement<T, U, V, Ret>
where
    T: Table,
    B: Finds<T, U>,
{
}

impl<T, U, Ret, B> Touches<B, Typed> for DeleteStatement<T, U, Ret>
where
    T: Table,
    B: Finds<T, U>,
{
}

impl<T: QuerySource, V, Ret, B, DB> Touches<B, Boxed> for BoxedUpdateStatement<'_, DB, T, V, Ret> {}

impl<T: QuerySource, Ret, B, DB> Touches<B, Boxed> for BoxedDeleteStatement<'_, DB, T, Ret> {}

impl<J, On> Bound for JoinOn<J, On>
where
    J: Bound,
    J::Bind: Matches<J, On>,
{
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
