//! Derives and macros of diesel-binds, which re-exports all of them: depend on that crate.

mod bind;
mod bound;
mod error_debug;
mod errors;
mod krate;
mod naming;
mod schema;
mod schema_file;
mod tables;
mod tag;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a public unit struct a bind: the name of a database, and the type of its connections.
///
/// ```text
/// #[derive(Bind)]
/// #[bind(key = "accounts", connection = AsyncPgConnection)]
/// pub struct Accounts;
/// ```
///
/// The struct is `pub` because the types of `diesel::table!` are, and a public type cannot be
/// tagged with a private one (E0446). The module around it may be private.
///
/// # Arguments of `#[bind(...)]`
///
/// - `key = "accounts"`: the bind's name in configuration, errors and global transaction ids. It
///   has 1 to 40 characters of `a-z`, `0-9`, `_` and `-`. It must never change, because units in
///   doubt are found by it. So it is written out, and does not follow from the struct's name, which
///   may be changed.
/// - `connection = AsyncPgConnection`: any type path that names a connection of diesel-async for
///   which the main crate has a backend.
/// - `crate = path::to::diesel_binds`: only if the crate is reached through another one. A
///   dependency that is renamed in Cargo.toml is found without it.
#[proc_macro_derive(Bind, attributes(bind))]
pub fn derive_bind(input: TokenStream) -> TokenStream {
    expanded(bind::expand(&parse_macro_input!(input as DeriveInput)))
}

/// Tags a model, and with `#[bind(...)]` its table, with a bind.
///
/// ```text
/// #[derive(Queryable, Selectable, Bound)]
/// #[diesel(table_name = users)]
/// #[bind(Accounts)]
/// struct User { id: i32, balance: i64 }
/// ```
///
/// The table is the one of `#[diesel(table_name = ...)]` or, like in Diesel's derives, the struct's
/// name in snake case with an `s`. Generic structs and paths to a table work.
///
/// # One tag per table
///
/// `#[bind(Accounts)]` tags the *table*, `users::table`, and a table is tagged once. The model takes
/// the bind of its table, and so does every further model of the table, without `#[bind]`:
///
/// ```text
/// #[derive(Insertable, Bound)]
/// #[diesel(table_name = users)]
/// struct NewUser<'a> { name: &'a str }
/// ```
///
/// - A second `#[bind]` for the same table, or one beside `bind_tables!` or `bind_schema!`, is
///   `conflicting implementations of trait Bound` (E0119): remove it from the model.
/// - For a table of another crate it is `only traits defined in the current crate can be
///   implemented for types defined outside of the crate` (E0117). Remove it from the model, and tag
///   the table in the crate that declares it, with `bind_tables!` or `bind_schema!`.
///
/// A model to which Diesel gives several tables takes their bind, which must be the same.
///
/// # Arguments of `#[bind(...)]`
///
/// - the bind: any type path.
/// - `crate = path::to::diesel_binds`: only if the crate is reached through another one.
#[proc_macro_derive(Bound, attributes(bind, diesel))]
pub fn derive_bound(input: TokenStream) -> TokenStream {
    expanded(bound::expand(&parse_macro_input!(input as DeriveInput)))
}

/// Tags tables that have no model.
///
/// ```text
/// bind_tables!(Ledger => entries, audit_log);
/// bind_tables! {
///     Ledger => schema::entries, schema::audit_log;
///     Accounts => schema::users;
/// }
/// ```
///
/// A table is named by its module, like in Diesel's `table_name`. Call the macro in the crate that
/// declares the tables: Rust lets no other crate tag them (E0117). A table is tagged once (E0119).
///
/// `crate = path::to::diesel_binds;` may come first, if the crate is reached through another one.
#[proc_macro]
pub fn bind_tables(input: TokenStream) -> TokenStream {
    expanded(tables::expand(input.into()))
}

/// Declares a module from a file of `diesel print-schema` and tags every table in it.
///
/// ```text
/// bind_schema!(pub mod ledger: Ledger = "src/schema/ledger.rs");
/// bind_schema! {
///     /// Tables of the ledger.
///     pub mod ledger: Ledger = "src/schema/ledger.rs";
///     #[cfg(feature = "audit")]
///     mod audit: crate::binds::Audit = "src/schema/audit.rs";
/// }
/// ```
///
/// The path starts in the folder of the package's Cargo.toml. The bind is any type path, resolved
/// beside the module. Attributes and visibility are the module's.
///
/// The file is an ordinary module. It is compiled again when it changes, and errors point into it.
/// Its other content stays unchanged (`joinable!`, `allow_tables_to_appear_in_same_query!`,
/// `sql_types`, docs, attributes). Tables are also found in the `pub mod`s that `print-schema
/// --schema` writes. Its tables need no further tag: models derive `Bound` without `#[bind]`.
///
/// `crate = path::to::diesel_binds;` may come first, if the crate is reached through another one.
///
/// # Errors
///
/// At compile time: the file is missing or declares no table; a module of it that holds tables is
/// private, or is a file of its own.
#[proc_macro]
pub fn bind_schema(input: TokenStream) -> TokenStream {
    expanded(schema::expand(input.into(), &schema::package_folder()))
}

/// Derives `Debug` for the errors of diesel-binds itself.
#[doc(hidden)]
#[proc_macro_derive(ErrorDebug)]
pub fn derive_error_debug(input: TokenStream) -> TokenStream {
    expanded(error_debug::expand(&parse_macro_input!(
        input as DeriveInput
    )))
}

fn expanded(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(syn::Error::into_compile_error).into()
}
