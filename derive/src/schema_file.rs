//! The tables that a file written by `diesel print-schema` declares.

use proc_macro2::TokenStream;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Ident, Item, ItemMacro, ItemMod, ItemUse, Token, Visibility};

/// A table of the file.
pub(crate) struct Table {
    /// The modules inside the file and then the table's own.
    pub(crate) path: Vec<Ident>,
    /// Every `#[cfg]` that applies to the table.
    pub(crate) conditions: Vec<Attribute>,
}

/// The declarations of a file, and the problems that prevent tags of its tables.
#[derive(Default)]
pub(crate) struct SchemaFile {
    pub(crate) tables: Vec<Table>,
    pub(crate) problems: Vec<String>,
}

impl SchemaFile {
    pub(crate) fn parse(source: &str) -> syn::Result<Self> {
        let mut file = Self::default();
        file.collect(&syn::parse_file(source)?.items, &[], &[]);
        Ok(file)
    }

    fn collect(&mut self, items: &[Item], modules: &[Ident], conditions: &[Attribute]) {
        for item in items {
            match item {
                Item::Macro(item) if is_table(item) => self.add(item, modules, conditions),
                Item::Mod(module) => self.collect_module(module, modules, conditions),
                _ => {}
            }
        }
    }

    fn add(&mut self, item: &ItemMacro, modules: &[Ident], conditions: &[Attribute]) {
        match name.parse2(item.mac.tokens.clone()) {
            Ok((attributes, name)) => self.tables.push(Table {
                path: [modules, &[name]].concat(),
                conditions: [conditions, &cfgs(&item.attrs), &cfgs(&attributes)].concat(),
            }),
            Err(error) => self
                .problems
                .push(format!("a `table!` without a name: {error}")),
        }
    }

    /// Collects the tables of a module: `print-schema --schema` writes one module per schema.
    fn collect_module(&mut self, module: &ItemMod, modules: &[Ident], conditions: &[Attribute]) {
        let name = &module.ident;
        let Some((_, items)) = &module.content else {
            self.problems.push(format!(
                "`mod {name};` is another file: give it a `bind_schema!` entry of its own"
            ));
            return;
        };
        let mut inside = Self::default();
        let path = [modules, std::slice::from_ref(name)].concat();
        let conditions = [conditions, &cfgs(&module.attrs)].concat();
        inside.collect(items, &path, &conditions);
        if !inside.tables.is_empty() && is_hidden(&module.vis) {
            self.problems.push(format!(
                "the tables of `mod {name}` are out of reach: make it `pub mod {name}`"
            ));
        }
        self.tables.extend(inside.tables);
        self.problems.extend(inside.problems);
    }
}

/// Returns whether a macro call is `table!` or `diesel::table!`.
fn is_table(item: &ItemMacro) -> bool {
    let path = &item.mac.path;
    path.segments
        .last()
        .is_some_and(|last| last.ident == "table")
}

/// Finds the table's name after the imports and attributes, and after a schema's name.
fn name(input: ParseStream<'_>) -> syn::Result<(Vec<Attribute>, Ident)> {
    while input.fork().parse::<ItemUse>().is_ok() {
        input.parse::<ItemUse>()?;
    }
    let attributes = input.call(Attribute::parse_outer)?;
    let mut name: Ident = input.parse()?;
    if input.parse::<Option<Token![.]>>()?.is_some() {
        name = input.parse()?;
    }
    // Diesel checks the columns.
    input.parse::<TokenStream>()?;
    Ok((attributes, name))
}

fn cfgs(attributes: &[Attribute]) -> Vec<Attribute> {
    let cfgs = attributes.iter().filter(|a| a.path().is_ident("cfg"));
    cfgs.cloned().collect()
}

/// Returns whether a module is private. The tags are beside the file's module, so they cannot reach
/// private tables inside it.
fn is_hidden(visibility: &Visibility) -> bool {
    match visibility {
        Visibility::Public(_) => false,
        Visibility::Inherited => true,
        Visibility::Restricted(to) => to.path.is_ident("self") || to.path.is_ident("super"),
    }
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;

    use super::*;

    fn paths(file: &SchemaFile) -> Vec<String> {
        let path = |table: &Table| {
            let idents: Vec<String> = table.path.iter().map(ToString::to_string).collect();
            idents.join("::")
        };
        file.tables.iter().map(path).collect()
    }

    #[test]
    fn every_form_of_table_is_found() {
        let file = SchemaFile::parse(
            r#"
            //! Inner docs and attributes are allowed.
            #![allow(missing_docs)]
            use diesel::table;
            pub mod sql_types {
                #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
                #[diesel(postgres_type(name = "mood"))]
                pub struct Mood;
            }
            diesel::table! {
                use diesel::sql_types::*;
                use super::sql_types::Mood;

                /// Docs with a (paren).
                #[sql_name = "Entries"]
                entries (id) { id -> Integer, mood -> Mood, }
            }
            table! { keyless { id -> Integer, } }
            ::diesel::table!(r#type (id) { id -> Integer, });
            diesel::table! { audit.logs (a, b) { a -> Integer, b -> Integer, } }
            diesel::joinable!(entries -> keyless (id));
            diesel::allow_tables_to_appear_in_same_query!(entries, keyless,);
            "#,
        )
        .unwrap();
        assert_eq!(paths(&file), ["entries", "keyless", "r#type", "logs"]);
        assert_eq!(file.problems, [""; 0]);
    }

    #[test]
    fn modules_of_schemas_are_entered() {
        let file = SchemaFile::parse(
            r#"
            pub mod audit {
                pub(crate) mod old { diesel::table! { audit.logs (id) { id -> Integer, } } }
                mod private { pub struct NoTable; }
            }
            "#,
        )
        .unwrap();
        assert_eq!(paths(&file), ["audit::old::logs"]);
        assert_eq!(file.problems, [""; 0]);
    }

    #[test]
    fn conditions_are_collected_from_outside_in() {
        let file = SchemaFile::parse(
            r#"
            #[cfg(a)]
            #[allow(x)]
            pub mod audit {
                #[cfg(b)]
                diesel::table! { #[cfg(c)] #[sql_name = "l"] logs (id) { id -> Integer, } }
            }
            "#,
        )
        .unwrap();
        let conditions: Vec<String> = file.tables[0]
            .conditions
            .iter()
            .map(|condition| condition.to_token_stream().to_string().replace(' ', ""))
            .collect();
        assert_eq!(conditions, ["#[cfg(a)]", "#[cfg(b)]", "#[cfg(c)]"]);
    }

    #[test]
    fn an_item_that_cannot_be_tagged_is_reported() {
        let file = SchemaFile::parse(
            r#"
            mod audit { diesel::table! { logs (id) { id -> Integer, } } }
            pub(super) mod old { diesel::table! { olds (id) { id -> Integer, } } }
            pub mod more;
            diesel::table! {}
            "#,
        )
        .unwrap();
        assert_eq!(
            file.problems,
            [
                "the tables of `mod audit` are out of reach: make it `pub mod audit`",
                "the tables of `mod old` are out of reach: make it `pub mod old`",
                "`mod more;` is another file: give it a `bind_schema!` entry of its own",
                "a `table!` without a name: unexpected end of input, expected identifier",
            ]
        );
    }
}
