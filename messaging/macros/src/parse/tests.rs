use quote::quote;

use super::*;

/// What the compiler would say of a contract with this in it.
fn complaint(method: TokenStream) -> String {
    let contract = contract(quote!(topic = "t", version = "1.1"), quote!(trait T { #method }));
    contract.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn what_makes_sense_is_accepted() {
    for method in [
        quote!(
            #[rpc(call, since = "1.1", timeout_seconds = 9)]
            async fn m(&self, ctx: C, a: Vec<u8>) -> Result<u8, E>;
        ),
        quote!(
            #[rpc(cast)]
            async fn m(&self, ctx: C) -> Result<(), E>;
        ),
        quote!(
            #[rpc(fanout)]
            async fn m(&self, ctx: C) -> std::result::Result<(), E>;
        ),
        quote!(
            #[rpc(cast, named_by = a)]
            async fn m(&self, ctx: C, a: A) -> Result<(), E>;
        ),
    ] {
        assert_eq!(complaint(method), "");
    }
}

#[test]
fn every_mistake_is_told_in_its_own_words() {
    for (method, expected) in [
        (
            quote!(
                #[rpc(cast, named_by = b)]
                async fn m(&self, ctx: C, a: A) -> Result<(), E>;
            ),
            "no argument `b`",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self, ctx: C) -> u8;
            ),
            "a call returns `Result<T, E>`",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self, ctx: C);
            ),
            "a call returns `Result<T, E>`",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self, ctx: C) -> Result<u8>;
            ),
            "not an alias",
        ),
        (
            quote!(
                #[rpc(cast)]
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "nobody waits for a cast's result",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self) -> Result<u8, E>;
            ),
            "the caller's context",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self, id: u8) -> Result<u8, E>;
            ),
            "is called `ctx`",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(ctx: C) -> Result<u8, E>;
            ),
            "`&self` first",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&mut self, ctx: C) -> Result<u8, E>;
            ),
            "`&self` first",
        ),
        (
            quote!(
                #[rpc(call)]
                fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "is an `async fn`",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self, ctx: C) -> Result<u8, E> {}
            ),
            "has no body",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m<T>(&self, ctx: C) -> Result<T, E>;
            ),
            "no generic parameters",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self, ctx: C, a: &str) -> Result<u8, E>;
            ),
            "arguments are owned",
        ),
        (
            quote!(
                #[rpc(call)]
                async fn m(&self, ctx: C, (a, b): (u8, u8)) -> Result<u8, E>;
            ),
            "a plain name",
        ),
        (
            quote!(
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "say once how the method is reached",
        ),
        (
            quote!(
                #[rpc(since = "1.0")]
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "`call`, `cast` or `fanout`",
        ),
        (
            quote!(
                #[rpc(call, cast)]
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "only one of them",
        ),
        (
            quote!(
                #[rpc(call, since = "1.2")]
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "the contract's version is 1.1",
        ),
        (
            quote!(
                #[rpc(call, since = "x")]
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "\"major.minor\"",
        ),
        (
            quote!(
                #[rpc(call, timeout_seconds = 0)]
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "no time to answer",
        ),
        (
            quote!(
                #[rpc(cast, timeout_seconds = 1)]
                async fn m(&self, ctx: C) -> Result<(), E>;
            ),
            "only a call waits",
        ),
        (
            quote!(
                #[rpc(call, retries = 1)]
                async fn m(&self, ctx: C) -> Result<u8, E>;
            ),
            "unknown option",
        ),
        (
            quote!(
                const N: u8;
            ),
            "only methods",
        ),
    ] {
        let complaint = complaint(method.clone());
        assert!(complaint.contains(expected), "{method} gives `{complaint}`");
    }
}

#[test]
fn the_contract_itself_needs_a_topic_and_a_version() {
    for (options, expected) in [
        (quote!(version = "1.0"), "needs `topic`"),
        (quote!(topic = "t"), "needs `version`"),
        (quote!(topic = "t", version = "1"), "\"major.minor\""),
        (quote!(topic = "t", version = "1.0", color = "red"), "unknown option"),
    ] {
        let error = contract(
            options,
            quote!(
                trait T {}
            ),
        )
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
        assert!(error.contains(expected), "{error}");
    }
}
