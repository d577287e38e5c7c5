//! What the macro accepts, and what the compiler says to a mistake: at the line that is wrong, in words that help.
//!
//! A package of its own, since trybuild compiles all that a package's tests depend on anew, and these depend on little.
//!
//! After a change of the macro's messages, or of the compiler's, `TRYBUILD=overwrite cargo test -p novella-contract-tests`
//! writes the `.stderr` files anew; read their diff.

// Compiled with this test instead of by trybuild, which would have to build all dependencies once more for it, where
// checking them is enough for the mistakes.
#[path = "contract/every_option.rs"]
mod every_option;

#[test]
fn a_mistake_does_not_compile_and_is_told_at_its_place() {
    trybuild::TestCases::new().compile_fail("tests/contract/fail/*.rs");
}
