//! The rows of an insert, required to come from one bind.
//!
//! Diesel does not export the type of an insert from a select. But it builds the SQL of every part of a query through
//! one trait, for a given backend. The backend defines how a select is written. Therefore, this module has a backend
//! that no database has: an insert that can be written for it takes all its rows from one bind.

use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::backend::{Backend, SqlDialect, TrustedBackend, sql_dialect};
use diesel::expression::AppearsOnTable;
use diesel::insertable::ColumnInsertValue;
use diesel::internal::table_macro::{BoxedSelectStatement, SelectStatement};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{AstPass, BatchInsert, QueryBuilder, QueryFragment};
use diesel::sql_types::{
    BigInt, Binary, Date, Double, Float, HasSqlType, Integer, SmallInt, Text, Time, Timestamp,
    TypeMetadata,
};

use crate::bind::within::{NoTables, Within};
use crate::bind::{Bind, Bound};

/// The backend of rows that come from the bind `B`.
#[derive(Debug)]
pub struct RowsOf<B>(PhantomData<fn() -> B>);

/// The dialect of this backend for selects and inserts of several rows: only the implementations in this file.
#[derive(Debug)]
pub enum RowsSyntax {}

const NEVER: &str = "no statement is written for this backend: it is for the compiler";

impl<B, Col, E> QueryFragment<RowsOf<B>> for ColumnInsertValue<Col, E>
where
    B: 'static,
    E: AppearsOnTable<Within<NoTables, B>>,
{
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, RowsOf<B>>) -> QueryResult<()> {
        unreachable!("{NEVER}")
    }
}

impl<B, F, S, D, W, O, L, G, H, K> QueryFragment<RowsOf<B>, RowsSyntax>
    for SelectStatement<F, S, D, W, O, L, G, H, K>
where
    B: Bind,
    Self: Bound<Bind = B>,
{
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, RowsOf<B>>) -> QueryResult<()> {
        unreachable!("{NEVER}")
    }
}

impl<B, V, T, Id, const STATIC: bool> QueryFragment<RowsOf<B>, RowsSyntax>
    for BatchInsert<Vec<V>, T, Id, STATIC>
where
    B: 'static,
    V: QueryFragment<RowsOf<B>>,
{
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, RowsOf<B>>) -> QueryResult<()> {
        unreachable!("{NEVER}")
    }
}

// One implementation for each backend: Diesel has one for boxed queries of the backend itself.
#[cfg(feature = "postgres")]
impl<B, ST, F, GB> QueryFragment<RowsOf<B>> for BoxedSelectStatement<'_, ST, F, diesel::pg::Pg, GB>
where
    B: Bind,
    Self: Bound<Bind = B>,
{
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, RowsOf<B>>) -> QueryResult<()> {
        unreachable!("{NEVER}")
    }
}

#[cfg(feature = "mysql")]
impl<B, ST, F, GB> QueryFragment<RowsOf<B>>
    for BoxedSelectStatement<'_, ST, F, diesel::mysql::Mysql, GB>
where
    B: Bind,
    Self: Bound<Bind = B>,
{
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, RowsOf<B>>) -> QueryResult<()> {
        unreachable!("{NEVER}")
    }
}

#[cfg(feature = "sqlite")]
impl<B, ST, F, GB> QueryFragment<RowsOf<B>>
    for BoxedSelectStatement<'_, ST, F, diesel::sqlite::Sqlite, GB>
where
    B: Bind,
    Self: Bound<Bind = B>,
{
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, RowsOf<B>>) -> QueryResult<()> {
        unreachable!("{NEVER}")
    }
}

impl<B: 'static> Backend for RowsOf<B> {
    type QueryBuilder = UnusedQueryBuilder;
    type RawValue<'a> = ();
    type BindCollector<'a> = RawBytesBindCollector<Self>;
}

impl<B> TrustedBackend for RowsOf<B> {}

impl<B> SqlDialect for RowsOf<B> {
    type ReturningClause = RowsSyntax;
    type OnConflictClause = RowsSyntax;
    type InsertWithDefaultKeyword = sql_dialect::default_keyword_for_insert::IsoSqlDefaultKeyword;
    type BatchInsertSupport = RowsSyntax;
    type ConcatClause = RowsSyntax;
    type DefaultValueClauseForInsert = sql_dialect::default_value_clause::AnsiDefaultValueClause;
    type EmptyFromClauseSyntax = RowsSyntax;
    type ExistsSyntax = RowsSyntax;
    type ArrayComparison = RowsSyntax;
    type SelectStatementSyntax = RowsSyntax;
    type AliasSyntax = RowsSyntax;
    type WindowFrameClauseGroupSupport = RowsSyntax;
    type WindowFrameExclusionSupport = RowsSyntax;
    type AggregateFunctionExpressions = RowsSyntax;
    type BuiltInWindowFunctionRequireOrder = RowsSyntax;
}

impl<B> TypeMetadata for RowsOf<B> {
    type TypeMetadata = ();
    type MetadataLookup = ();
}

/// A type that Diesel requires every backend to support.
pub trait RequiredSqlType {}

impl RequiredSqlType for SmallInt {}
impl RequiredSqlType for Integer {}
impl RequiredSqlType for BigInt {}
impl RequiredSqlType for Float {}
impl RequiredSqlType for Double {}
impl RequiredSqlType for Text {}
impl RequiredSqlType for Binary {}
impl RequiredSqlType for Date {}
impl RequiredSqlType for Time {}
impl RequiredSqlType for Timestamp {}

impl<B, ST: RequiredSqlType> HasSqlType<ST> for RowsOf<B> {
    fn metadata((): &mut ()) {}
}

/// A query builder that builds nothing: no statement is written for the backend.
#[derive(Debug, Default)]
pub struct UnusedQueryBuilder;

impl<B: 'static> QueryBuilder<RowsOf<B>> for UnusedQueryBuilder {
    fn push_sql(&mut self, _: &str) {}

    fn push_identifier(&mut self, _: &str) -> QueryResult<()> {
        Ok(())
    }

    fn push_bind_param(&mut self) {}

    fn finish(self) -> String {
        unreachable!("{NEVER}")
    }
}
