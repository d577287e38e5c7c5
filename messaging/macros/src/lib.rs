//! The contract macro of `novella-messaging`: one trait says what others may ask of a service, and
//! the typed client and the server's dispatch are generated from it.

mod expand;
mod parse;

use proc_macro::TokenStream;

/// Makes a trait the contract of a service.
///
/// ```ignore
/// #[novella_messaging::contract(topic = "compute", version = "1.1")]
/// pub trait Compute {
///     /// Doc comments go to the trait and to the client alike.
///     #[rpc(call, timeout_seconds = 120)]
///     async fn get_host_uptime(&self, ctx: RequestContext) -> Result<HostUptime, ComputeError>;
///
///     #[rpc(cast, since = "1.1")]
///     async fn stop_instance(&self, ctx: RequestContext, operation: PowerOperation) -> Result<(), ComputeError>;
///
///     #[rpc(fanout)]
///     async fn refresh(&self, ctx: RequestContext) -> Result<(), ComputeError>;
/// }
/// ```
///
/// generates
///
/// - the trait itself, whose futures are `Send` and which requires `Send + Sync + 'static`; a
///   manager writes `impl Compute for Manager { async fn ... }`;
/// - `ComputeClient`, with `new(&transport)`, `.server("host-1")`, `.timeout(..)`,
///   `.version_cap(..)`, and each method taking `&ctx` and the other arguments by value: calls
///   return `Result<T, CallError<E>>`, casts and fanouts `Result<(), MessagingError>`;
/// - `ComputeEndpoint`, with `new(Arc<manager>)`, for `RpcServer`.
///
/// Options of the contract: `topic` and `version` (required), `namespace`. Of a method: the kind
/// (`call`, `cast` or `fanout`; required), `since` (the version it came with; the major's `.0` by
/// default), `timeout_seconds` (of a call).
#[proc_macro_attribute]
pub fn contract(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let contract = match parse::contract(attribute.into(), item.into()) {
        Ok(contract) => contract,
        Err(error) => return error.into_compile_error().into(),
    };
    expand::contract(&contract).into()
}
