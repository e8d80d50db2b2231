//! `#[derive(Bind)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, LitStr, Path, Token, Type, Visibility};

use crate::errors::Errors;
use crate::krate::Krate;
use crate::naming::snake_case;

/// The longest key, because keys are part of global transaction ids, whose length the databases
/// limit.
const LONGEST_KEY: usize = 40;

const CRATE: &str = "crate";
const CONNECTION: &str = "connection";
const KEY: &str = "key";

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    require_public_unit_struct(input, &mut errors);
    let arguments = Arguments::of(input, &mut errors);
    errors.into_result()?;

    let krate = Krate::named_or_found(arguments.krate);
    let (name, key, connection) = (&input.ident, arguments.key, arguments.connection);
    Ok(quote! {
        #[automatically_derived]
        impl #krate::Bind for #name {
            const KEY: &'static str = #key;
            type Connection = #connection;
        }
    })
}

/// Checks the form of a bind. A bind is named by value, `session.on(Accounts)`, so it is a unit
/// struct. `diesel::table!` makes public types, which can only be tagged with a public one (E0446,
/// wherever the modules are).
fn require_public_unit_struct(input: &DeriveInput, errors: &mut Errors) {
    let name = &input.ident;
    let mut refuse = |span, problem: &str| {
        let message = format!("{problem}: write `pub struct {name};`");
        errors.push(syn::Error::new(span, message));
    };
    let is_unit = matches!(&input.data, Data::Struct(data) if matches!(data.fields, Fields::Unit));
    if !is_unit {
        refuse(name.span(), "a bind is a unit struct");
    }
    if !matches!(input.vis, Visibility::Public(_)) {
        refuse(
            name.span(),
            "a bind is `pub`, as are the tables tagged with it",
        );
    }
    if !input.generics.params.is_empty() {
        let span = input.generics.params.span();
        refuse(span, "a bind has no generic parameters");
    }
    if let Some(clause) = &input.generics.where_clause {
        refuse(clause.span(), "a bind has no `where` clause");
    }
}

/// The arguments of `#[bind(key = "...", connection = ..., crate = ...)]`.
#[derive(Default)]
struct Arguments {
    key: Option<LitStr>,
    connection: Option<Type>,
    krate: Option<Path>,
}

impl Arguments {
    fn of(input: &DeriveInput, errors: &mut Errors) -> Self {
        let mut arguments = Self::default();
        let mut named = Vec::new();
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("bind")) {
            let parsed = attribute.parse_nested_meta(|meta| {
                let result = arguments.read(&meta, &mut named);
                if errors.keep(result).is_none() {
                    skip_argument(meta.input)?;
                }
                Ok(())
            });
            errors.keep(parsed);
        }

        let example = snake_case(&input.ident.to_string());
        let missing: Vec<String> = [
            (KEY, format!("key = \"{example}\"")),
            (CONNECTION, "connection = AsyncPgConnection".to_owned()),
        ]
        .into_iter()
        .filter(|(name, _)| !named.iter().any(|given| given == name))
        .map(|(_, example)| example)
        .collect();
        if !missing.is_empty() {
            errors.push(syn::Error::new(
                input.ident.span(),
                format!(
                    "`#[derive(Bind)]` needs more: add `#[bind({})]`",
                    missing.join(", ")
                ),
            ));
        }
        arguments
    }

    /// Reads one argument. `named` collects the names of all arguments, even of those with an
    /// invalid value.
    fn read(&mut self, meta: &ParseNestedMeta<'_>, named: &mut Vec<String>) -> syn::Result<()> {
        let name = meta.path.get_ident().map(ToString::to_string);
        let Some(name) = name.filter(|name| [KEY, CONNECTION, CRATE].contains(&name.as_str()))
        else {
            let path = &meta.path;
            let path = quote!(#path).to_string().replace(' ', "");
            return Err(meta.error(format!(
                "unknown argument `{path}`, expected one of `{KEY}`, `{CONNECTION}`, `{CRATE}`"
            )));
        };
        if named.contains(&name) {
            return Err(meta.error(format!("`{name}` is given twice")));
        }
        named.push(name.clone());

        let value = meta.value()?;
        match name.as_str() {
            KEY => self.key = Some(valid_key(value.parse()?)?),
            CONNECTION => self.connection = Some(value.parse()?),
            _ => self.krate = Some(value.call(Path::parse_mod_style)?),
        }
        Ok(())
    }
}

fn valid_key(key: LitStr) -> syn::Result<LitStr> {
    let value = key.value();
    let is_allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    let problem = if value.is_empty() {
        "a key cannot be empty".to_owned()
    } else if let Some(character) = value.chars().find(|c| !is_allowed(*c)) {
        format!("a key cannot contain {character:?}: it is made of `a-z`, `0-9`, `_` and `-`")
    } else if value.len() > LONGEST_KEY {
        let length = value.len();
        format!("a key has at most {LONGEST_KEY} characters, this one has {length}")
    } else {
        return Ok(key);
    };
    Err(syn::Error::new(key.span(), problem))
}

/// Continues after the comma, so that a wrong argument does not hide those after it.
fn skip_argument(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;
    use crate::errors::messages;
    use crate::tag::pretty;

    #[test]
    fn a_unit_struct_becomes_a_bind() {
        let expanded = expand(&parse_quote! {
            #[bind(key = "accounts", connection = AsyncPgConnection)]
            pub struct Accounts;
        });
        assert_eq!(
            pretty(expanded.unwrap()),
            r#"#[automatically_derived]
impl ::diesel_binds::Bind for Accounts {
    const KEY: &'static str = "accounts";
    type Connection = AsyncPgConnection;
}
"#
        );
    }

    #[test]
    fn arguments_may_be_spread_and_the_crate_be_named() {
        let expanded = expand(&parse_quote! {
            #[bind(crate = crate::facade::binds)]
            #[bind(connection = Wrapper<Sqlite, Runtime>, key = "a-1_b",)]
            pub struct A;
        });
        assert_eq!(
            pretty(expanded.unwrap()),
            r#"#[automatically_derived]
impl crate::facade::binds::Bind for A {
    const KEY: &'static str = "a-1_b";
    type Connection = Wrapper<Sqlite, Runtime>;
}
"#
        );
    }

    #[test]
    fn a_missing_part_is_spelled_out() {
        assert_eq!(
            messages(expand(&parse_quote! { pub struct AccountsDb; })),
            [
                "`#[derive(Bind)]` needs more: add `#[bind(key = \"accounts_db\", connection = AsyncPgConnection)]`"
            ]
        );
        assert_eq!(
            messages(expand(
                &parse_quote! { #[bind(connection = Pg)] pub struct Accounts; }
            )),
            ["`#[derive(Bind)]` needs more: add `#[bind(key = \"accounts\")]`"]
        );
    }

    #[test]
    fn a_bad_key_is_refused() {
        let message = |key: &str| {
            messages(expand(
                &parse_quote! { #[bind(key = #key, connection = Pg)] pub struct Accounts; },
            ))
        };
        let longest = "k".repeat(40);
        assert_eq!(message(&longest), [""; 0]);
        assert_eq!(message(""), ["a key cannot be empty"]);
        assert_eq!(
            message("Accounts"),
            ["a key cannot contain 'A': it is made of `a-z`, `0-9`, `_` and `-`"]
        );
        assert_eq!(
            message("my\nkey"),
            ["a key cannot contain '\\n': it is made of `a-z`, `0-9`, `_` and `-`"]
        );
        assert_eq!(
            message(&format!("{longest}k")),
            ["a key has at most 40 characters, this one has 41"]
        );
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        assert_eq!(
            messages(expand(&parse_quote! {
                #[bind(key = accounts, name = "x", Ledger, connection = Pg, connection = My)]
                struct Accounts<'a, T> where T: Copy { field: &'a T }
            })),
            [
                "a bind is a unit struct: write `pub struct Accounts;`",
                "a bind is `pub`, as are the tables tagged with it: write `pub struct Accounts;`",
                "a bind has no generic parameters: write `pub struct Accounts;`",
                "a bind has no `where` clause: write `pub struct Accounts;`",
                "expected string literal",
                "unknown argument `name`, expected one of `key`, `connection`, `crate`",
                "unknown argument `Ledger`, expected one of `key`, `connection`, `crate`",
                "`connection` is given twice",
            ]
        );
    }

    #[test]
    fn only_a_public_unit_struct_is_a_bind() {
        let refused = |input: DeriveInput| {
            let mut errors = Errors::default();
            require_public_unit_struct(&input, &mut errors);
            messages(errors.into_result())
        };
        let unit = ["a bind is a unit struct: write `pub struct A;`"];
        assert_eq!(refused(parse_quote! { pub enum A {} }), unit);
        assert_eq!(refused(parse_quote! { pub struct A {} }), unit);
        assert_eq!(refused(parse_quote! { pub struct A(); }), unit);
        let public = ["a bind is `pub`, as are the tables tagged with it: write `pub struct A;`"];
        assert_eq!(refused(parse_quote! { struct A; }), public);
        assert_eq!(refused(parse_quote! { pub(crate) struct A; }), public);
        assert_eq!(
            refused(parse_quote! { pub struct A<const N: usize>; }),
            ["a bind has no generic parameters: write `pub struct A;`"]
        );
        assert_eq!(
            refused(parse_quote! { pub struct A where u8: Copy; }),
            ["a bind has no `where` clause: write `pub struct A;`"]
        );
    }

    #[test]
    fn an_attribute_without_arguments_is_refused() {
        assert_eq!(
            messages(expand(&parse_quote! { #[bind] pub struct A; }))[0],
            "expected attribute arguments in parentheses: #[bind(...)]"
        );
    }
}
