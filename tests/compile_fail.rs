//! Mistakes that the compiler must find, and what it says about them.
//!
//! `TRYBUILD=overwrite` writes the expected messages anew. They hold for the toolchain that the checks run on.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
