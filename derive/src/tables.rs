//! `bind_tables!`.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::{Path, Token, Type};

use crate::errors::{Errors, with_form};
use crate::krate::{CrateOverride, Krate};
use crate::tag::{Tag, table_type};

const FORM: &str = "Ledger => entries, audit_log";

pub(crate) fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let Groups { krate, groups } = syn::parse2(input)?;
    let krate = Krate::named_or_found(krate);
    let mut expanded = TokenStream::new();
    for Group { bind, tables } in &groups {
        for table in tables {
            expanded.extend(Tag::new(table_type(table), bind).expand(&krate));
        }
    }
    Ok(expanded)
}

/// The arguments `crate = path; Bind => table, table; Bind => table`.
struct Groups {
    krate: Option<Path>,
    groups: Vec<Group>,
}

impl Parse for Groups {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let krate = CrateOverride::parse_head(input)?;
        let mut groups = Vec::new();
        let mut errors = Errors::default();
        while groups.is_empty() || !input.is_empty() {
            let group = Group::parse(input, &mut errors);
            groups.push(group.map_err(|error| with_form(error, FORM))?);
        }
        errors.into_result()?;
        Ok(Self { krate, groups })
    }
}

/// One bind with its tables.
struct Group {
    bind: Type,
    tables: Vec<Path>,
}

impl Group {
    fn parse(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Self> {
        if input.is_empty() {
            return Err(input.error("expected a bind"));
        }
        let bind = input.parse()?;
        let arrow: Token![=>] = input.parse()?;
        let mut tables = Vec::new();
        while !input.is_empty() && !input.peek(Token![;]) {
            let table = input.call(Path::parse_mod_style)?;
            errors.keep(require_module(&table));
            tables.push(table);
            if !input.is_empty() && !input.peek(Token![;]) {
                input.parse::<Token![,]>()?;
            }
        }
        input.parse::<Option<Token![;]>>()?;
        if tables.is_empty() {
            errors.push(with_form(
                syn::Error::new_spanned(arrow, "no table follows"),
                FORM,
            ));
        }
        Ok(Self { bind, tables })
    }
}

/// Makes sure that a table is named by its module, like in Diesel's `table_name`.
fn require_module(table: &Path) -> syn::Result<()> {
    let written: Vec<String> = table.segments.iter().map(|s| s.ident.to_string()).collect();
    match written.as_slice() {
        [module @ .., last] if !module.is_empty() && last == "table" => {
            Err(syn::Error::new_spanned(
                table,
                format!(
                    "a table is named by its module: write `{}`",
                    module.join("::")
                ),
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;
    use crate::errors::messages;
    use crate::tag::pretty;

    #[test]
    fn each_table_is_tagged() {
        let expanded = expand(quote! {
            Ledger => entries, schema::audit_log,;
            crate::binds::Accounts => ::other::users;
        });
        assert_eq!(
            pretty(expanded.unwrap()),
            "#[automatically_derived]
impl ::diesel_binds::Bound for entries::table {
    type Bind = Ledger;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
#[automatically_derived]
impl ::diesel_binds::Bound for schema::audit_log::table {
    type Bind = Ledger;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
#[automatically_derived]
impl ::diesel_binds::Bound for ::other::users::table {
    type Bind = crate::binds::Accounts;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
"
        );
    }

    #[test]
    fn the_crate_may_be_named_first() {
        let expanded = expand(quote!(crate = facade; crate::Ledger => entries));
        assert_eq!(
            pretty(expanded.unwrap()),
            "#[automatically_derived]
impl facade::Bound for entries::table {
    type Bind = crate::Ledger;
    fn access() -> facade::__private::Access {
        facade::__private::Access::Read
    }
}
"
        );
    }

    #[test]
    fn a_wrong_form_is_answered_with_the_right_one() {
        let message = |input| messages(expand(input)).join("\n");
        let form = "write `Ledger => entries, audit_log`";
        assert_eq!(
            message(quote!()),
            format!("unexpected end of input, expected a bind; {form}")
        );
        assert_eq!(message(quote!(entries)), format!("expected `=>`; {form}"));
        assert_eq!(
            message(quote!(Ledger => a b)),
            format!("expected `,`; {form}")
        );
        assert_eq!(
            message(quote!(Ledger => "a")),
            format!("expected identifier; {form}")
        );
    }

    #[test]
    fn mistakes_of_several_groups_are_told_together() {
        assert_eq!(
            messages(expand(
                quote!(Ledger => ; Accounts => schema::users::table, ; X => a)
            )),
            [
                "no table follows; write `Ledger => entries, audit_log`",
                "a table is named by its module: write `schema::users`",
            ]
        );
    }
}
