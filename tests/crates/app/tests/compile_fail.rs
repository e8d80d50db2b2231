//! Mistakes with the tables of another crate, and the messages of the compiler.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
