//! `#[derive(Bound)]`.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Fields, Path, Token, Type};

use crate::errors::Errors;
use crate::krate::{CrateOverride, Krate};
use crate::naming::table_name;
use crate::tag::{Tag, bind_of, same_bind, table_type};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    errors.keep(require_model(input));
    let arguments = Arguments::of(&input.attrs, &mut errors);
    let tables = errors.keep(tables(input)).unwrap_or_default();
    errors.into_result()?;

    let krate = Krate::named_or_found(arguments.krate);
    let tables: Vec<TokenStream> = tables.iter().map(table_type).collect();
    let mut expanded = tag_of_model(input, &tables, &krate).expand(&krate);
    if let Some(bind) = &arguments.bind {
        for table in tables {
            let tag = Tag::new(table, bind).asked_for_by(bind);
            expanded.extend(tag.expand(&krate));
        }
    }
    Ok(expanded)
}

/// Tags the model with the bind of its table, so the two cannot differ; nor can several tables.
fn tag_of_model(input: &DeriveInput, tables: &[TokenStream], krate: &Krate) -> Tag {
    let name = &input.ident;
    let (_, arguments, _) = input.generics.split_for_impl();
    let (table, others) = tables.split_first().expect("a model has a table");
    let mut generics = input.generics.clone();
    for other in others {
        let predicate = same_bind(table, other, krate);
        let clause = generics.make_where_clause();
        clause.predicates.push(syn::parse_quote!(#predicate));
    }
    Tag::new(quote!(#name #arguments), &bind_of(table, krate)).generic_over(generics)
}

fn require_model(input: &DeriveInput) -> syn::Result<()> {
    let problem = match &input.data {
        Data::Struct(data) if !matches!(data.fields, Fields::Unit) => return Ok(()),
        Data::Struct(_) => "`Bound` is derived for models; the bind itself derives `Bind`",
        Data::Enum(_) | Data::Union(_) => {
            "`Bound` is derived for models, which are structs; `bind_tables!` tags a table without one"
        }
    };
    Err(syn::Error::new(input.ident.span(), problem))
}

/// The arguments of `#[bind(Accounts, crate = ...)]`.
#[derive(Default)]
struct Arguments {
    bind: Option<Type>,
    krate: Option<Path>,
}

enum Argument {
    Bind(Type),
    Crate(CrateOverride),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if CrateOverride::peek(input) {
            return Ok(Self::Crate(input.parse()?));
        }
        if input.peek(Ident::peek_any) && input.peek2(Token![=]) {
            let name = input.call(Ident::parse_any)?;
            return Err(syn::Error::new(
                name.span(),
                format!(
                    "unknown argument `{name}`: a model names its bind, `#[bind(Accounts)]`; \
                     `key` and `connection` belong to the bind itself"
                ),
            ));
        }
        Ok(Self::Bind(input.parse()?))
    }
}

impl Arguments {
    fn of(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut arguments = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("bind")) {
            let parsed =
                attribute.parse_args_with(Punctuated::<Argument, Token![,]>::parse_terminated);
            let Some(parsed) = errors.keep(parsed) else {
                continue;
            };
            if parsed.is_empty() {
                errors.push(syn::Error::new_spanned(
                    attribute,
                    "`#[bind()]` names no bind: write `#[bind(Accounts)]`, \
                     or leave it out to take the bind of the table",
                ));
            }
            for argument in parsed {
                errors.keep(arguments.add(argument));
            }
        }
        arguments
    }

    fn add(&mut self, argument: Argument) -> syn::Result<()> {
        match argument {
            Argument::Bind(bind) if self.bind.is_some() => Err(syn::Error::new_spanned(
                bind,
                "a model has one bind, the one of its table",
            )),
            Argument::Crate(CrateOverride(path)) if self.krate.is_some() => {
                Err(syn::Error::new_spanned(path, "`crate` is given twice"))
            }
            Argument::Bind(bind) => {
                self.bind = Some(bind);
                Ok(())
            }
            Argument::Crate(CrateOverride(path)) => {
                self.krate = Some(path);
                Ok(())
            }
        }
    }
}

/// Returns the tables of a model by Diesel's rules. `Queryable` and `Insertable` allow several.
fn tables(input: &DeriveInput) -> syn::Result<Vec<Path>> {
    let mut tables = Vec::new();
    for attribute in &input.attrs {
        if attribute.path().is_ident("diesel") {
            attribute.parse_args_with(|arguments: ParseStream<'_>| {
                collect_table_names(arguments, &mut tables)
            })?;
        } else if attribute.path().is_ident("table_name") {
            // Diesel 1's form, which Diesel 2 still accepts.
            if let syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(name),
                ..
            }) = &attribute.meta.require_name_value()?.value
            {
                tables.push(name.parse_with(Path::parse_mod_style)?);
            }
        }
    }
    if tables.is_empty() {
        let model = input.ident.unraw().to_string();
        let table = Ident::new(&table_name(&model), input.ident.span());
        tables.push(table.into());
    }
    Ok(tables)
}

/// Reads `table_name = path` and leaves every other argument to Diesel's derives.
fn collect_table_names(arguments: ParseStream<'_>, tables: &mut Vec<Path>) -> syn::Result<()> {
    while !arguments.is_empty() {
        let is_table_name = arguments
            .fork()
            .call(Ident::parse_any)
            .is_ok_and(|name| name == "table_name");
        if is_table_name && arguments.peek2(Token![=]) {
            arguments.call(Ident::parse_any)?;
            arguments.parse::<Token![=]>()?;
            tables.push(arguments.call(Path::parse_mod_style)?);
        }
        while !arguments.is_empty() && arguments.parse::<Option<Token![,]>>()?.is_none() {
            arguments.parse::<proc_macro2::TokenTree>()?;
        }
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
    fn a_model_with_a_bind_tags_itself_and_its_table() {
        let expanded = expand(&parse_quote! {
            #[diesel(table_name = crate::schema::users)]
            #[bind(Accounts)]
            struct User { id: i32 }
        });
        assert_eq!(
            pretty(expanded.unwrap()),
            "#[automatically_derived]
impl ::diesel_binds::Bound for User {
    type Bind = <crate::schema::users::table as ::diesel_binds::Bound>::Bind;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
#[automatically_derived]
impl ::diesel_binds::Bound for crate::schema::users::table {
    type Bind = Accounts;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
"
        );
    }

    #[test]
    fn a_model_without_a_bind_takes_that_of_its_table() {
        let expanded = expand(&parse_quote! { struct LineItem(i32); });
        assert_eq!(
            pretty(expanded.unwrap()),
            "#[automatically_derived]
impl ::diesel_binds::Bound for LineItem {
    type Bind = <line_items::table as ::diesel_binds::Bound>::Bind;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
"
        );
    }

    #[test]
    fn generics_are_kept() {
        let expanded = expand(&parse_quote! {
            #[bind(crate::binds::Accounts, crate = facade)]
            #[diesel(table_name = users)]
            struct NewUser<'a, T: Copy = i32, const N: usize = 1> where T: Into<i64> { a: &'a [T; N] }
        });
        assert_eq!(
            pretty(expanded.unwrap()),
            "#[automatically_derived]
impl<'a, T: Copy, const N: usize> facade::Bound for NewUser<'a, T, N>
where
    T: Into<i64>,
{
    type Bind = <users::table as facade::Bound>::Bind;
    fn access() -> facade::__private::Access {
        facade::__private::Access::Read
    }
}
#[automatically_derived]
impl facade::Bound for users::table {
    type Bind = crate::binds::Accounts;
    fn access() -> facade::__private::Access {
        facade::__private::Access::Read
    }
}
"
        );
    }

    #[test]
    fn several_tables_have_one_bind() {
        let expanded = expand(&parse_quote! {
            #[diesel(table_name = a)]
            #[diesel(table_name = b)]
            struct Both { id: i32 }
        });
        assert_eq!(
            pretty(expanded.unwrap()),
            "#[automatically_derived]
impl ::diesel_binds::Bound for Both
where
    b::table: ::diesel_binds::Bound<Bind = <a::table as ::diesel_binds::Bound>::Bind>,
{
    type Bind = <a::table as ::diesel_binds::Bound>::Bind;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
"
        );
    }

    #[test]
    fn other_arguments_of_diesel_are_passed_over() {
        let named = |input: DeriveInput| {
            let tables = tables(&input).unwrap();
            quote!(#(#tables),*).to_string().replace(' ', "")
        };
        assert_eq!(
            named(parse_quote! {
                #[diesel(belongs_to(User, foreign_key = table_name), primary_key(a, b))]
                #[diesel(sql_type = Map<A, B>, table_name = x::posts, check_for_backend(Pg, Sqlite))]
                #[diesel(base_query = posts::table.filter(a.eq("table_name = x")), aggregate)]
                struct Post { id: i32 }
            }),
            "x::posts"
        );
        assert_eq!(
            named(parse_quote! { #[diesel(aggregate, table_name = r#type,)] struct T { id: i32 } }),
            "r#type"
        );
        assert_eq!(
            named(parse_quote! { #[table_name = "schema::old"] struct T { id: i32 } }),
            "schema::old"
        );
    }

    #[test]
    fn mistakes_are_told_together() {
        assert_eq!(
            messages(expand(&parse_quote! {
                #[bind(Accounts, Ledger)]
                #[bind(crate = a, crate = b)]
                #[bind()]
                #[bind(key = "accounts")]
                enum User { A }
            })),
            [
                "`Bound` is derived for models, which are structs; `bind_tables!` tags a table without one",
                "a model has one bind, the one of its table",
                "`crate` is given twice",
                "`#[bind()]` names no bind: write `#[bind(Accounts)]`, or leave it out to take the bind of the table",
                "unknown argument `key`: a model names its bind, `#[bind(Accounts)]`; `key` and `connection` belong to the bind itself",
            ]
        );
    }

    #[test]
    fn a_bind_is_no_model() {
        assert_eq!(
            messages(expand(&parse_quote! { struct Accounts; })),
            ["`Bound` is derived for models; the bind itself derives `Bind`"]
        );
    }
}
