//! The name of the main crate in generated code, whatever the user's Cargo.toml calls it.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Path, Token};

/// The path of the main crate in generated code.
pub(crate) struct Krate(TokenStream);

impl Krate {
    /// Uses the path that the user named, otherwise the name of the main crate in their Cargo.toml.
    pub(crate) fn named_or_found(named: Option<Path>) -> Self {
        match named {
            Some(path) => Self(path.into_token_stream()),
            None => Self::found(),
        }
    }

    /// Finds the name in Cargo.toml. `::diesel_binds` is also right in the main crate itself, which
    /// has `extern crate self as diesel_binds`, and in builds without a Cargo.toml. There, rustc
    /// reports a missing crate.
    fn found() -> Self {
        let name = match crate_name("diesel-binds") {
            Ok(FoundCrate::Name(name)) => name,
            Ok(FoundCrate::Itself) | Err(_) => "diesel_binds".to_owned(),
        };
        let name = Ident::new(&name, Span::call_site());
        Self(quote!(::#name))
    }
}

impl ToTokens for Krate {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
    }
}

/// `crate = some::path`, as arguments of an attribute and at the head of a macro call.
pub(crate) struct CrateOverride(pub(crate) Path);

impl CrateOverride {
    /// Distinguishes `crate = path` from a type such as `crate::binds::Ledger`.
    pub(crate) fn peek(input: ParseStream<'_>) -> bool {
        input.peek(Token![crate]) && input.peek2(Token![=])
    }

    /// Parses the `crate = path;` at the head of a macro call.
    pub(crate) fn parse_head(input: ParseStream<'_>) -> syn::Result<Option<Path>> {
        if !Self::peek(input) {
            return Ok(None);
        }
        let Self(path) = input.parse()?;
        input.parse::<Token![;]>()?;
        Ok(Some(path))
    }
}

impl Parse for CrateOverride {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        Ok(Self(input.call(Path::parse_mod_style)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_path_wins() {
        let krate = Krate::named_or_found(Some(syn::parse_quote!(facade::binds)));
        assert_eq!(
            krate.to_token_stream().to_string(),
            quote!(facade::binds).to_string()
        );
    }

    #[test]
    fn without_the_dependency_the_plain_name_is_used() {
        let krate = Krate::named_or_found(None);
        assert_eq!(
            krate.to_token_stream().to_string(),
            quote!(::diesel_binds).to_string()
        );
    }
}
