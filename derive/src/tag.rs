//! `impl Bound`: the only place that writes it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Generics, Path};

use crate::krate::Krate;

/// One `impl Bound`: a model or a table that carries a bind.
pub(crate) struct Tag {
    subject: TokenStream,
    bind: TokenStream,
    generics: Generics,
    conditions: Vec<Attribute>,
    place: (Span, Span),
}

impl Tag {
    pub(crate) fn new(subject: TokenStream, bind: &impl ToTokens) -> Self {
        Self {
            place: ends(&subject),
            subject,
            bind: bind.to_token_stream(),
            generics: Generics::default(),
            conditions: Vec::new(),
        }
    }

    pub(crate) fn generic_over(mut self, generics: Generics) -> Self {
        self.generics = generics;
        self
    }

    /// Sets the `#[cfg]`s under which the subject exists.
    pub(crate) fn under(mut self, conditions: Vec<Attribute>) -> Self {
        self.conditions = conditions;
        self
    }

    /// Sets the tokens to which errors about the tag point, if they are not the subject itself.
    pub(crate) fn asked_for_by(mut self, request: &impl ToTokens) -> Self {
        self.place = ends(request);
        self
    }

    pub(crate) fn expand(&self, krate: &Krate) -> TokenStream {
        let Self {
            subject,
            bind,
            generics,
            conditions,
            place: (start, end),
        } = self;
        let (impl_generics, _, where_clause) = generics.split_for_impl();
        // rustc reports a second tag (E0119) and a foreign table (E0117) from the `impl` keyword to
        // the end of the subject. If that is elsewhere, the report ends at the closing brace.
        let keyword = quote_spanned!(*start=> impl);
        // Models and tables are in queries that read; statements that write have their own access.
        let body = quote_spanned! {*end=> {
            type Bind = #bind;
            fn access() -> #krate::__private::Access { #krate::__private::Access::Read }
        }};
        quote! {
            #(#conditions)*
            #[automatically_derived]
            #keyword #impl_generics #krate::Bound for #subject #where_clause #body
        }
    }
}

/// Returns the type that `diesel::table!` puts into the table's module.
pub(crate) fn table_type(table: &Path) -> TokenStream {
    let (_, end) = ends(table);
    let suffix = quote_spanned!(end=> ::table);
    quote!(#table #suffix)
}

/// Returns the bind that a table is tagged with; rustc reports a missing tag (E0277) at the table.
pub(crate) fn bind_of(table: &TokenStream, krate: &Krate) -> TokenStream {
    let (start, end) = ends(table);
    let open = quote_spanned!(start=> <);
    let close = quote_spanned!(end=> >::Bind);
    quote!(#open #table as #krate::Bound #close)
}

/// Returns the bound that two tables have one bind; rustc reports a difference (E0271) at the
/// second.
pub(crate) fn same_bind(table: &TokenStream, other: &TokenStream, krate: &Krate) -> TokenStream {
    let bind = bind_of(table, krate);
    let (_, end) = ends(other);
    let colons = quote_spanned!(end=> ::);
    let bound = quote_spanned!(end=> Bound<Bind = #bind>);
    quote!(#other: #krate #colons #bound)
}

/// Returns the places of the first and the last token, with the hygiene of generated code:
/// `Span::join` would be shorter, but does nothing on stable Rust.
fn ends(tokens: &impl ToTokens) -> (Span, Span) {
    let mut spans = tokens.to_token_stream().into_iter().map(|t| t.span());
    let start = spans.next().unwrap_or_else(Span::call_site);
    let end = spans.last().unwrap_or(start);
    let call_site = Span::call_site();
    (call_site.located_at(start), call_site.located_at(end))
}

/// Formats expanded code like rustfmt.
#[cfg(test)]
pub(crate) fn pretty(expanded: TokenStream) -> String {
    let file = syn::parse2(expanded).expect("the expansion is valid Rust");
    prettyplease::unparse(&file)
}
