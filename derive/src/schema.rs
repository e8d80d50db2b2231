//! `bind_schema!`.

use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, LitStr, Path, Token, Type, Visibility};

use crate::errors::{Errors, with_form};
use crate::krate::{CrateOverride, Krate};
use crate::schema_file::{SchemaFile, Table};
use crate::tag::{Tag, table_type};

const FORM: &str = "pub mod ledger: Ledger = \"src/schema/ledger.rs\"";

/// Expands every entry, reading the files from `folder`, which contains the user's Cargo.toml.
///
/// A mistake is reported beside the module if the file exists: without the module, every use of a
/// table would be one more error.
pub(crate) fn expand(input: TokenStream, folder: &FilePath) -> syn::Result<TokenStream> {
    let Entries { krate, entries } = syn::parse2(input)?;
    let krate = Krate::named_or_found(krate);
    let expanded = entries.iter().map(|entry| entry.expand(&krate, folder));
    Ok(expanded.collect())
}

/// The arguments `crate = path; pub mod x: Bind = "file"; pub mod y: Bind = "file"`.
struct Entries {
    krate: Option<Path>,
    entries: Vec<Entry>,
}

impl Parse for Entries {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let krate = CrateOverride::parse_head(input)?;
        let mut entries = Vec::new();
        while entries.is_empty() || !input.is_empty() {
            let entry = input.parse().map_err(|error| with_form(error, FORM))?;
            entries.push(entry);
            if !input.is_empty() {
                let end = input.parse::<Token![;]>();
                end.map_err(|error| with_form(error, FORM))?;
            }
        }
        Ok(Self { krate, entries })
    }
}

/// One module, its bind and its file.
struct Entry {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    module: Ident,
    bind: Type,
    file: LitStr,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        input.parse::<Token![mod]>()?;
        let module = input.parse()?;
        input.parse::<Token![:]>()?;
        let bind = input.parse()?;
        input.parse::<Token![=]>()?;
        let file = input.parse()?;
        Ok(Self {
            attributes,
            visibility,
            module,
            bind,
            file,
        })
    }
}

impl Entry {
    fn expand(&self, krate: &Krate, folder: &FilePath) -> TokenStream {
        let path = folder.join(self.file.value());
        let source = match std::fs::read_to_string(&path) {
            Ok(source) => source,
            Err(error) => return self.unreadable(&path, &error).into_compile_error(),
        };
        let module = self.module(&path);
        match SchemaFile::parse(&source) {
            Ok(file) => {
                let tags = file.tables.iter().map(|table| self.tag(table, krate));
                let problems = self.problems(&file).map_err(syn::Error::into_compile_error);
                let problems = problems.err();
                quote!(#module #(#tags)* #problems)
            }
            // rustc also reads the module, and reports the place of the mistake in the file.
            Err(error) => {
                let error = self.error(format!("`{}` is not valid Rust: {error}", path.display()));
                let error = error.into_compile_error();
                quote!(#module #error)
            }
        }
    }

    /// Declares a `#[path]` module rather than an `include!`. With both, rustc rebuilds on changes
    /// and reports mistakes in the file itself, but only a module may have inner docs and
    /// attributes.
    fn module(&self, path: &FilePath) -> TokenStream {
        let (attributes, visibility, module) = (&self.attributes, &self.visibility, &self.module);
        let path = path.to_string_lossy();
        quote! {
            #(#attributes)*
            #[path = #path]
            #visibility mod #module;
        }
    }

    /// Tags a table beside the module, so that the bind's path is resolved at the call.
    fn tag(&self, table: &Table, krate: &Krate) -> TokenStream {
        let (module, bind, path) = (&self.module, &self.bind, &table.path);
        let table_path: Path = syn::parse_quote!(#module #(::#path)*);
        let of_module = self.attributes.iter().filter(|a| a.path().is_ident("cfg"));
        let conditions = of_module.chain(&table.conditions).cloned().collect();
        Tag::new(table_type(&table_path), bind)
            .asked_for_by(bind)
            .under(conditions)
            .expand(krate)
    }

    fn problems(&self, file: &SchemaFile) -> syn::Result<()> {
        let mut errors = Errors::default();
        for problem in &file.problems {
            errors.push(self.error(format!("in `{}`: {problem}", self.file.value())));
        }
        if file.tables.is_empty() && file.problems.is_empty() {
            errors.push(self.error(format!(
                "`{}` declares no tables: \
                 `diesel print-schema` writes one `diesel::table!` per table of the database",
                self.file.value()
            )));
        }
        errors.into_result()
    }

    fn unreadable(&self, path: &FilePath, error: &std::io::Error) -> syn::Error {
        let place = path.display();
        if error.kind() != ErrorKind::NotFound {
            return self.error(format!("cannot read `{place}`: {error}"));
        }
        self.error(format!(
            "there is no file `{place}`\n\
             the path starts in the folder of the package's Cargo.toml; to write the file, run there\n    \
             diesel print-schema --database-url <URL> > {}",
            self.file.value()
        ))
    }

    fn error(&self, message: String) -> syn::Error {
        syn::Error::new(self.file.span(), message)
    }
}

/// Returns the folder of the Cargo.toml of the package that calls the macro.
pub(crate) fn package_folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::messages;
    use crate::tag::pretty;

    fn fixtures() -> PathBuf {
        FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
    }

    fn expanded(input: TokenStream) -> String {
        let code = expand(input, &fixtures()).map(pretty).unwrap();
        code.replace(&fixtures().display().to_string(), "FOLDER")
    }

    #[test]
    fn a_file_becomes_a_module_and_its_tables_are_tagged() {
        assert_eq!(
            expanded(quote! {
                /// The ledger.
                #[cfg(feature = "ledger")]
                pub(crate) mod ledger: crate::binds::Ledger = "ledger.rs"
            }),
            r#"/// The ledger.
#[cfg(feature = "ledger")]
#[path = "FOLDER/ledger.rs"]
pub(crate) mod ledger;
#[cfg(feature = "ledger")]
#[automatically_derived]
impl ::diesel_binds::Bound for ledger::entries::table {
    type Bind = crate::binds::Ledger;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
#[cfg(feature = "ledger")]
#[automatically_derived]
impl ::diesel_binds::Bound for ledger::audit::logs::table {
    type Bind = crate::binds::Ledger;
    fn access() -> ::diesel_binds::__private::Access {
        ::diesel_binds::__private::Access::Read
    }
}
"#
        );
    }

    #[test]
    fn several_files_in_one_call() {
        assert_eq!(
            expanded(quote! {
                crate = facade;
                mod a: A = "one.rs";
                pub mod b: B = "one.rs";
            }),
            r#"#[path = "FOLDER/one.rs"]
mod a;
#[automatically_derived]
impl facade::Bound for a::users::table {
    type Bind = A;
    fn access() -> facade::__private::Access {
        facade::__private::Access::Read
    }
}
#[path = "FOLDER/one.rs"]
pub mod b;
#[automatically_derived]
impl facade::Bound for b::users::table {
    type Bind = B;
    fn access() -> facade::__private::Access {
        facade::__private::Access::Read
    }
}
"#
        );
    }

    #[test]
    fn a_missing_file_says_where_it_should_be_and_how_to_write_it() {
        assert_eq!(
            expanded(quote!(mod a: A = "missing.rs")),
            r#"::core::compile_error! {
    "there is no file `FOLDER/missing.rs`\nthe path starts in the folder of the package's Cargo.toml; to write the file, run there\n    diesel print-schema --database-url <URL> > missing.rs"
}
"#
        );
    }

    #[test]
    fn a_file_without_tables_keeps_its_module_and_is_an_error() {
        assert_eq!(
            expanded(quote!(mod a: A = "empty.rs")),
            r#"#[path = "FOLDER/empty.rs"]
mod a;
::core::compile_error! {
    "`empty.rs` declares no tables: `diesel print-schema` writes one `diesel::table!` per table of the database"
}
"#
        );
    }

    #[test]
    fn a_broken_file_keeps_its_module_so_that_rustc_shows_the_place() {
        assert_eq!(
            expanded(quote!(mod a: A = "broken.rs")),
            r#"#[path = "FOLDER/broken.rs"]
mod a;
::core::compile_error! {
    "`FOLDER/broken.rs` is not valid Rust: expected `!`"
}
"#
        );
    }

    #[test]
    fn problems_name_the_file() {
        let code = expanded(quote!(mod a: A = "private.rs"));
        assert!(
            code.contains("in `private.rs`: the tables of `mod audit` are out of reach: make it `pub mod audit`"),
            "{code}"
        );
    }

    #[test]
    fn a_wrong_form_is_answered_with_the_right_one() {
        let message = |input| messages(expand(input, &fixtures())).join("\n");
        let form = "write `pub mod ledger: Ledger = \"src/schema/ledger.rs\"`";
        assert_eq!(
            message(quote!()),
            format!("unexpected end of input, expected `mod`; {form}")
        );
        assert_eq!(
            message(quote!(mod a = "one.rs")),
            format!("expected `:`; {form}")
        );
        assert_eq!(message(quote!(mod a: A)), format!("expected `=`; {form}"));
        assert_eq!(
            message(quote!(mod a: A = one)),
            format!("expected string literal; {form}")
        );
        assert_eq!(
            message(quote!(mod a: A = "one.rs", mod b: B = "one.rs")),
            format!("expected `;`; {form}")
        );
    }
}
