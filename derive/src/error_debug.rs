//! `#[derive(ErrorDebug)]`: a `Debug` for errors whose `{:?}` prints the message and its causes.
//!
//! `fn main() -> Result<(), Error>`, `unwrap` and `expect` print errors with `{:?}`. `{:#?}` prints
//! like `#[derive(Debug)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Fields, Ident};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let name = &input.ident;
    let arms: Vec<_> = match &input.data {
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| arm(&quote!(Self::), &variant.ident, &variant.fields))
            .collect(),
        // `Self { .. }` and `Self(..)` are patterns too.
        Data::Struct(data) => vec![arm(&TokenStream::new(), name, &data.fields)],
        Data::Union(data) => {
            let token = data.union_token;
            return Err(syn::Error::new_spanned(token, "no union is an error"));
        }
    };
    let (impl_generics, generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #name #generics #where_clause {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                if f.alternate() {
                    return match self { #(#arms)* };
                }
                ::core::write!(f, "{self}")?;
                let mut source = ::core::error::Error::source(self);
                while let ::core::option::Option::Some(error) = source {
                    ::core::write!(f, ": {error}")?;
                    source = error.source();
                }
                ::core::result::Result::Ok(())
            }
        }
    })
}

/// Returns the arm of `#[derive(Debug)]` for this variant, or for the one form of a struct.
fn arm(path: &TokenStream, name: &Ident, fields: &Fields) -> TokenStream {
    let title = name.to_string();
    match fields {
        Fields::Named(fields) => {
            let fields: Vec<_> = fields
                .named
                .iter()
                .filter_map(|f| f.ident.as_ref())
                .collect();
            let titles = fields.iter().map(ToString::to_string);
            quote! {
                #path #name { #(#fields),* } =>
                    f.debug_struct(#title)#(.field(#titles, #fields))*.finish(),
            }
        }
        Fields::Unnamed(fields) => {
            let fields: Vec<_> = (0..fields.unnamed.len())
                .map(|i| format_ident!("field{i}"))
                .collect();
            quote! {
                #path #name(#(#fields),*) => f.debug_tuple(#title)#(.field(#fields))*.finish(),
            }
        }
        Fields::Unit => quote!(#path #name => f.write_str(#title),),
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::expand;
    use crate::tag::pretty;

    #[test]
    fn each_form_of_a_variant_is_printed_as_rust_does() {
        let expanded = pretty(
            expand(&parse_quote! {
                enum Error {
                    Query { bind: &'static str, source: Cause },
                    Commit(CommitError),
                    Closed,
                }
            })
            .unwrap(),
        );
        for arm in [
            "Self::Query { bind, source } => {",
            r#"f.debug_struct("Query")"#,
            r#".field("bind", bind)"#,
            r#"Self::Commit(field0) => f.debug_tuple("Commit").field(field0).finish()"#,
            r#"Self::Closed => f.write_str("Closed")"#,
        ] {
            assert!(expanded.contains(arm), "{arm} is not in\n{expanded}");
        }
    }
}
