//! The contract macro of `novella-messaging`: one trait says what others may ask of a service, and
//! the typed client and the server's dispatch are generated from it.

mod expand;
mod parse;

use proc_macro::TokenStream;

/// # The options
///
/// Of the contract, `#[contract(topic = "compute", version = "1.1", namespace = "base")]`:
///
/// | option | meaning |
/// | --- | --- |
/// | `topic` | required: the queue that the service's servers share |
/// | `version` | required: `"major.minor"`, what this trait is now |
/// | `namespace` | keeps the methods apart from those of other contracts on the same topic |
///
/// Of a method, `#[rpc(call, since = "1.1", timeout_seconds = 120)]`:
///
/// | option | meaning |
/// | --- | --- |
/// | `call`, `cast` or `fanout` | required, one of them: how the method is reached |
/// | `since` | the version it came with, `.0` of the contract's major by default. The message says it needs that much, and an older server refuses it |
/// | `timeout_seconds` | of a call: how long to wait, in place of the transport's `rpc_response_timeout`. A client's `timeout` goes before it |
/// | `named_by` | an argument that implements `NamesMethod`: it says the method's name on the wire and its `since`, so that one method stands for several |
// What it is for, with an example that is compiled, stands on the re-export in `novella-messaging`: this crate cannot
// use what it generates code for. Rustdoc shows both there, this part last.
#[proc_macro_attribute]
pub fn contract(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let contract = match parse::contract(attribute.into(), item.into()) {
        Ok(contract) => contract,
        Err(error) => return error.into_compile_error().into(),
    };
    expand::contract(&contract).into()
}
