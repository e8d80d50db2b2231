//! Mistakes that the compiler must find, and its messages.
//!
//! The test is a program of its own, because it runs cargo for minutes and needs no servers. `TRYBUILD=overwrite`
//! writes the expected messages again. They hold for the toolchain that the checks run on.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
