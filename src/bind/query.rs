//! `Bound` for Diesel's query nodes: a query has the bind of the tables in it, and all of them must have that bind.
//!
//! Set operations are missing, because their types cannot be named outside of Diesel. They name their bind with
//! `session.on(..)`, like every query without a table.

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
use memchr::memchr3_iter;

use crate::bind::rows::RowsOf;
use crate::bind::within::{NoSelection, NoTables, Within};
use crate::bind::{Access, Bind, Bound};

/// The form of a statement whose type names all its tables.
#[derive(Debug)]
pub enum Typed {}

/// The form of an insert that handles conflicts. Diesel does not export its type, so the source of its rows is checked
/// when it runs.
#[derive(Debug)]
pub enum Upsert {}

/// The form of an update or a delete with boxed conditions, whose types are erased.
#[derive(Debug)]
pub enum Boxed {}

impl<F, S, D, W, O, L, G, H, K> Bound for SelectStatement<F, S, D, W, O, L, G, H, K>
where
    F: SelectSource,
    F::Bind:
        HasSelectedTables<F, S> + HasConditionTables<F::Source, W> + HasOrderTables<F::Source, O>,
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

/// The source of a select. A separate trait gives a select without a table an error of its own.
#[diagnostic::on_unimplemented(
    message = "a select without a table has no bind",
    label = "its database is not known",
    note = "name it: `.get_result(&session.on(Bind))`"
)]
pub trait SelectSource {
    type Source: QuerySource;
    type Bind: Bind;
}

impl<F: QuerySource + Bound> SelectSource for FromClause<F> {
    type Source = F;
    type Bind = F::Bind;
}

// The traits below are implemented for the bind and not for the query, so that a table without a bind gives that error
// alone. Their implementations are not recommended, otherwise the compiler would report Diesel's rules instead.

/// A bind that has all tables in the selection `S` of a select from `F`.
#[diagnostic::on_unimplemented(
    message = "the selection of a query on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load the ids from one database, and filter by them in the other: `.filter(id.eq_any(ids))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait HasSelectedTables<F, S> {}

#[diagnostic::do_not_recommend]
impl<B, F, S> HasSelectedTables<F, S> for B
where
    F: SelectSource,
    S: SelectClauseExpression<F, Selection: AppearsOnTable<Within<F::Source, B>>>,
{
}

/// A bind that has all tables in the conditions `W` of a query over `F`.
#[diagnostic::on_unimplemented(
    message = "a condition of a query on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load the ids from one database, and filter by them in the other: `.filter(id.eq_any(ids))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait HasConditionTables<F, W> {}

#[diagnostic::do_not_recommend]
impl<B, F, W> HasConditionTables<F, W> for B where Conditions<F, B, W>: Query {}

/// A bind that has all tables in the order `O` of a select from `F`.
#[diagnostic::on_unimplemented(
    message = "the order of a query on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load the ids from one database, and filter by them in the other: `.filter(id.eq_any(ids))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait HasOrderTables<F, O> {}

impl<B, F> HasOrderTables<F, NoOrderClause> for B {}

#[diagnostic::do_not_recommend]
impl<B, F, E: AppearsOnTable<Within<F, B>>> HasOrderTables<F, OrderClause<E>> for B {}

/// A bind that has all tables in the condition of a join over `J`.
#[diagnostic::on_unimplemented(
    message = "the condition of a join on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load the ids from one database, and filter by them in the other: `.filter(id.eq_any(ids))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait HasJoinTables<J, On> {}

#[diagnostic::do_not_recommend]
impl<B, J, On: AppearsOnTable<Within<J, B>>> HasJoinTables<J, On> for B {}

/// A bind that has all tables in the `RETURNING` of a statement on `T`.
#[diagnostic::on_unimplemented(
    message = "the `RETURNING` of a statement on `{Self}` reads a table of another bind, or of none",
    label = "this database does not have all of the tables",
    note = "load the ids from one database, and filter by them in the other: `.filter(id.eq_any(ids))`",
    note = "a table without a bind is tagged where it is declared: `bind_tables!(Bind => table)`"
)]
pub trait HasReturningTables<T, Ret> {}

impl<B, T> HasReturningTables<T, NoReturning> for B {}

#[diagnostic::do_not_recommend]
impl<B, T, E: AppearsOnTable<Within<T, B>>> HasReturningTables<T, ReturningClause<E>> for B {}

/// A select with the conditions `W`, which is a query if they are valid on `F` and read only tables of the bind `B`.
type Conditions<F, B, W> = SelectStatement<FromClause<Within<F, B>>, AllOf<F, B>, NoDistinct, W>;

type AllOf<F, B> = <SelectStatement<FromClause<Within<F, B>>> as Clauses>::Select;

/// The type of an absent `DISTINCT`. Diesel does not export such types, but they are the defaults of its parameters.
type NoDistinct = <SelectStatement<NoFromClause, ()> as Clauses>::Distinct;

type NoReturning = <InsertStatement<Within<NoTables, ()>, ()> as Returning>::Clause;

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

/// Reads only, since Diesel does not box a query that has a locking clause.
impl<ST, F, DB, GB> Bound for BoxedSelectStatement<'_, ST, F, DB, GB>
where
    F: SelectSource,
{
    type Bind = F::Bind;

    fn access() -> Access {
        Access::Read
    }
}

impl<T, U, Op, Ret, Form> Bound<Form> for InsertStatement<T, U, Op, Ret>
where
    T: QuerySource + Bound,
    T::Bind: HasReturningTables<T, Ret>,
    Self: RowsOnlyFrom<T::Bind, Form>,
{
    type Bind = T::Bind;

    fn reads_unknown() -> bool {
        Self::FROM_UNKNOWN && has_query(type_name::<U>())
    }
}

/// An insert whose rows come from the bind `B` alone, as far as its type shows in this form.
#[diagnostic::on_unimplemented(
    message = "an insert into `{B}` whose rows may come from another bind",
    label = "a table that it reads belongs to another bind, or to none",
    note = "load the rows first, then insert them; if all its tables belong to this bind, name it: \
            `.execute(&session.on(Bind))`"
)]
pub trait RowsOnlyFrom<B, Form> {
    /// `true` if the type does not show where the rows come from.
    const FROM_UNKNOWN: bool;
}

impl<T, U, Op, Ret, B> RowsOnlyFrom<B, Typed> for InsertStatement<T, U, Op, Ret>
where
    T: QuerySource,
    B: Bind,
    U: QueryFragment<RowsOf<B>>,
{
    const FROM_UNKNOWN: bool = false;
}

// Only inserts that handle conflicts have conditions, so the compiler finds the one implementation that applies.
impl<T, U, Op, Ret, B> RowsOnlyFrom<B, Upsert> for InsertStatement<T, U, Op, Ret>
where
    T: QuerySource,
    Self: FilterDsl<NoSelection>,
{
    const FROM_UNKNOWN: bool = true;
}

/// Returns whether a query that Diesel builds may contain SQL text, by the name of its type: in a fragment, or in a
/// boxed part. An update, a list of values and several rows at once contain none, although they have no static query id
/// either.
pub(crate) fn may_have_text(query: &str) -> bool {
    // Each update and delete is searched, so the search looks for bytes that are rare in such names.
    memchr3_iter(b'L', b'B', b' ', query.as_bytes()).any(|at| {
        let (before, rest) = query.as_bytes().split_at(at);
        (before.ends_with(b"Sql") && rest.starts_with(b"Literal<"))
            || rest.starts_with(b"Boxed")
            || (before.ends_with(b"dyn") && rest.starts_with(b" "))
    })
}

/// Returns whether Diesel builds the statement, by the name of its type. A fragment of the application may be any
/// statement, although it has a static query id.
pub(crate) fn is_of_diesel(query: &str) -> bool {
    let name = query.trim_start_matches("&");
    name.starts_with("diesel::") || name.ends_with("::table")
}

/// Returns whether a query has a boxed subquery, by the name of its type: Diesel lets a boxed subquery read any table.
/// A query that is boxed as a whole does not count, and neither does a boxed query whose rows are inserted: the
/// compiler checks it.
pub(crate) fn has_boxed_subquery(query: &str) -> bool {
    const BOXED: &str = "BoxedSelectStatement<";
    query.match_indices(BOXED).any(|(start, _)| {
        let before =
            query[..start].trim_end_matches(|c: char| c == ':' || c == '_' || c.is_alphanumeric());
        !before.is_empty() && !before.ends_with("InsertFromSelect<")
    })
}

/// Returns whether the rows of an upsert come from a query, or have a subquery among their values. Only the name of the
/// type shows that: its first parameter is the type of the rows.
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
    T::Bind: HasReturningTables<T, Ret>,
    Self: ConditionsOnlyOn<T::Bind, Form>,
{
    type Bind = T::Bind;
}

impl<T, U, Ret, Form> Bound<Form> for DeleteStatement<T, U, Ret>
where
    T: QuerySource + Bound,
    T::Bind: HasReturningTables<T, Ret>,
    Self: ConditionsOnlyOn<T::Bind, Form>,
{
    type Bind = T::Bind;
}

/// An update or a delete whose conditions read the bind `B` alone, as far as its type shows in this form.
pub trait ConditionsOnlyOn<B, Form> {}

impl<T, U, V, Ret, B> ConditionsOnlyOn<B, Typed> for UpdateStatement<T, U, V, Ret>
where
    T: Table,
    B: HasConditionTables<T, U>,
{
}

impl<T, U, Ret, B> ConditionsOnlyOn<B, Typed> for DeleteStatement<T, U, Ret>
where
    T: Table,
    B: HasConditionTables<T, U>,
{
}

impl<T: QuerySource, V, Ret, B, DB> ConditionsOnlyOn<B, Boxed>
    for BoxedUpdateStatement<'_, DB, T, V, Ret>
{
}

impl<T: QuerySource, Ret, B, DB> ConditionsOnlyOn<B, Boxed>
    for BoxedDeleteStatement<'_, DB, T, Ret>
{
}

impl<J, On> Bound for JoinOn<J, On>
where
    J: Bound,
    J::Bind: HasJoinTables<J, On>,
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
    Left::Bind: JoinsWith<Right::Bind>,
{
    type Bind = Left::Bind;

    fn access() -> Access {
        Access::Read
    }
}

/// A bind whose tables can be joined with those of `Other`: the same bind. A separate trait gives other joins an error
/// of their own.
#[diagnostic::on_unimplemented(
    message = "a join over two databases: its tables belong to `{Self}` and `{Other}`",
    label = "this database does not have all of the tables",
    note = "load the ids from one database, and filter by them in the other: `.filter(id.eq_any(ids))`"
)]
pub trait JoinsWith<Other> {}

impl<B: Bind> JoinsWith<B> for B {}

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
