//! From a contract to code. Identifiers keep the spans they have in the trait, so that an editor's
//! "go to definition" on a client's method lands on the trait's.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::LitStr;

use crate::parse::{Argument, Contract, Kind, Method, Version};

pub(crate) fn contract(contract: &Contract) -> TokenStream {
    let interface = interface(contract);
    let client = client(contract);
    let endpoint = endpoint(contract);
    quote! {
        #interface
        #client
        #endpoint
    }
}

fn version(version: Version) -> TokenStream {
    let Version { major, minor } = version;
    quote! { ::novella_messaging::Version::new(#major, #minor) }
}

/// A name that no argument of the user's can shadow.
fn hidden(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The method's name on the wire.
fn wire_name(name: &Ident) -> LitStr {
    let text = name.to_string();
    LitStr::new(text.strip_prefix("r#").unwrap_or(&text), name.span())
}

/// The trait, with futures that can move between threads.
fn interface(contract: &Contract) -> TokenStream {
    let (attributes, visibility, name) = (&contract.item.attrs, &contract.item.vis, &contract.item.ident);
    let supertraits = contract.item.supertraits.iter();
    let methods = contract.methods.iter().map(|method| {
        let Method { name, attributes, receiver, context, arguments, output, .. } = method;
        let (context_name, context_type) = (&context.name, &context.ty);
        let names = arguments.iter().map(|argument| &argument.name);
        let types = arguments.iter().map(|argument| &argument.ty);
        quote! {
            #(#attributes)*
            fn #name(#receiver, #context_name: #context_type #(, #names: #types)*)
                -> impl ::core::future::Future<Output = #output> + ::core::marker::Send;
        }
    });
    quote! {
        #(#attributes)*
        #visibility trait #name: #(#supertraits +)* ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

fn client(contract: &Contract) -> TokenStream {
    let (visibility, interface, topic) = (&contract.item.vis, &contract.item.ident, &contract.topic);
    let name = format_ident!("{interface}Client", span = interface.span());
    let contract_version = version(contract.version);
    let namespace = contract.namespace.as_ref().map(|namespace| quote! { .namespace(#namespace) });
    let methods = contract.methods.iter().map(client_method);
    let doc =
        format!("Calls the services of topic `{}`; generated from [`{interface}`]. Cheap to clone.", topic.value());
    quote! {
        #[doc = #doc]
        #[derive(Debug, Clone)]
        #visibility struct #name {
            stub: ::novella_messaging::contract::Stub,
        }

        // A contract may have methods that a given program never calls.
        #[allow(dead_code)]
        impl #name {
            /// The topic its servers listen on.
            pub const TOPIC: &'static str = #topic;
            /// The contract's version.
            pub const VERSION: ::novella_messaging::Version = #contract_version;

            /// A client that reaches any server of the topic.
            #[must_use]
            pub fn new(transport: &::novella_messaging::Transport) -> Self {
                let target = ::novella_messaging::Target::new(#topic) #namespace;
                Self {
                    stub: ::novella_messaging::contract::Stub::new(::novella_messaging::RpcClient::new(transport, target)),
                }
            }

            #(#methods)*
        }

        // The same client, reaching or waiting or sending otherwise.
        #[allow(dead_code)]
        impl #name {
            /// The same client for one server of the topic.
            #[must_use]
            pub fn server(&self, server: impl ::core::convert::Into<::std::string::String>) -> Self {
                Self { stub: self.stub.adapt(|client| client.server(server)) }
            }

            /// The same client by another control exchange than the transport's.
            #[must_use]
            pub fn exchange(&self, exchange: impl ::core::convert::Into<::std::string::String>) -> Self {
                Self { stub: self.stub.adapt(|client| client.exchange(exchange)) }
            }

            /// The same client for the servers of another topic, which have the same contract.
            #[must_use]
            pub fn topic(&self, topic: impl ::core::convert::Into<::std::string::String>) -> Self {
                Self { stub: self.stub.adapt(|client| client.topic(topic)) }
            }

            /// The same client whose calls wait this long.
            #[must_use]
            pub fn timeout(&self, timeout: ::core::time::Duration) -> Self {
                Self { stub: self.stub.timeout(timeout) }
            }

            /// The same client whose requests a broker does not keep over its restart.
            #[must_use]
            pub fn transient(&self) -> Self {
                Self { stub: self.stub.adapt(|client| client.transient()) }
            }

            /// The same client sending nothing newer than `cap`.
            #[must_use]
            pub fn version_cap(&self, cap: ::novella_messaging::Version) -> Self {
                Self { stub: self.stub.adapt(|client| client.version_cap(cap)) }
            }

            /// The same client with another time in which a server has to send a heartbeat.
            #[must_use]
            pub fn call_monitor_timeout(&self, silence: ::core::time::Duration) -> Self {
                Self { stub: self.stub.adapt(|client| client.call_monitor_timeout(silence)) }
            }

            /// The same client whose arguments, results and contexts pass through `serializer`.
            #[must_use]
            pub fn serializer(&self, serializer: ::std::sync::Arc<dyn ::novella_messaging::Serializer>) -> Self {
                Self { stub: self.stub.adapt(|client| client.serializer(serializer)) }
            }

            /// The same client with a layer of middleware around all it sends, see
            /// [`RpcClient::layer`](::novella_messaging::RpcClient::layer).
            #[must_use]
            pub fn layer<L>(&self, layer: L) -> Self
            where
                L: ::novella_messaging::contract::ClientLayer,
            {
                Self { stub: self.stub.adapt(|client| layer.lay(client)) }
            }

            /// Whether the cap allows messages of `version`.
            #[must_use]
            pub fn can_send_version(&self, version: ::novella_messaging::Version) -> bool {
                self.stub.can_send_version(version)
            }
        }
    }
}

fn client_method(method: &Method) -> TokenStream {
    let Method { name, attributes, kind, context, arguments, value, error, .. } = method;
    let (context_name, context_type) = (&context.name, &context.ty);
    let names: Vec<_> = arguments.iter().map(|argument| &argument.name).collect();
    let types: Vec<_> = arguments.iter().map(|argument| &argument.ty).collect();
    let keys = names.iter().map(|name| wire_name(name));
    // With `named_by`, the argument knows its message's name and version.
    let (wire_name, since) = match &method.named_by {
        Some(argument) => (
            quote! { ::novella_messaging::contract::NamesMethod::method(&#argument) },
            quote! { ::novella_messaging::contract::NamesMethod::since(&#argument) },
        ),
        None => {
            let name = wire_name(name);
            (quote! { #name }, version(method.since))
        }
    };
    let timeout = match method.timeout_seconds {
        Some(seconds) => {
            quote! { ::core::option::Option::Some(::core::time::Duration::from_secs(#seconds)) }
        }
        None => quote! { ::core::option::Option::None },
    };
    let (description, list) = (hidden("method"), hidden("arguments"));
    // Types are written out here and in the endpoint, though they could be inferred: so the compiler points to a type
    // that cannot travel at its place in the trait.
    let (send, result) = match kind {
        Kind::Call => (
            quote! { call::<_, #value, #error> },
            quote! { ::core::result::Result<#value, ::novella_messaging::CallError<#error>> },
        ),
        Kind::Cast => (quote! { cast }, quote! { ::core::result::Result<(), ::novella_messaging::MessagingError> }),
        Kind::Fanout => (quote! { fanout }, quote! { ::core::result::Result<(), ::novella_messaging::MessagingError> }),
    };
    let errors = match kind {
        Kind::Call => " The manager's, and those of the bus.",
        Kind::Cast | Kind::Fanout => " Those of the bus; the manager's reach nobody.",
    };
    quote! {
        #(#attributes)*
        ///
        /// # Errors
        #[doc = #errors]
        pub async fn #name(&self, #context_name: &#context_type #(, #names: #types)*) -> #result {
            let #description = ::novella_messaging::contract::Method { name: #wire_name, since: #since, timeout: #timeout };
            #[allow(unused_mut)]
            let mut #list = ::novella_messaging::contract::Arguments::new();
            #(#list.insert::<#types>(#keys, &#names)?;)*
            self.stub.#send(#description, #context_name, #list).await
        }
    }
}

fn endpoint(contract: &Contract) -> TokenStream {
    let (visibility, interface) = (&contract.item.vis, &contract.item.ident);
    let name = format_ident!("{interface}Endpoint", span = interface.span());
    let contract_version = version(contract.version);
    let request = hidden("request");
    let namespace = match &contract.namespace {
        Some(namespace) => quote! { ::core::option::Option::Some(#namespace) },
        None => quote! { ::core::option::Option::None },
    };
    let arms = contract.methods.iter().map(|method| endpoint_arm(interface, method, &request));
    let doc = format!("Answers requests by a manager, which implements [`{interface}`]; for an `RpcServer`.");
    quote! {
        #[doc = #doc]
        #visibility struct #name<M>(::std::sync::Arc<M>);

        impl<M: #interface> #name<M> {
            /// Hands each request to `manager`.
            #[must_use]
            pub fn new(manager: ::std::sync::Arc<M>) -> Self {
                Self(manager)
            }
        }

        impl<M: #interface> ::novella_messaging::Endpoint for #name<M> {
            fn namespace(&self) -> ::core::option::Option<&str> {
                #namespace
            }

            fn version(&self) -> ::novella_messaging::Version {
                #contract_version
            }

            fn dispatch(
                &self,
                #request: ::novella_messaging::Request,
            ) -> ::novella_messaging::contract::BoxFuture<'_, ::novella_messaging::Outcome> {
                ::std::boxed::Box::pin(async move {
                    match #request.method() {
                        #(#arms)*
                        _ => ::novella_messaging::Outcome::NoSuchMethod,
                    }
                })
            }
        }
    }
}

fn endpoint_arm(interface: &Ident, method: &Method, request: &Ident) -> TokenStream {
    let Method { name, kind, named_by, context, arguments, value, error, .. } = method;
    let (context_name, context_type) = (&context.name, &context.ty);
    let names: Vec<_> = arguments.iter().map(|argument| &argument.name).collect();
    let types = arguments.iter().map(|argument| &argument.ty);
    let keys = names.iter().map(|name| wire_name(name));
    let named_by = named_by.as_ref().and_then(|by| arguments.iter().find(|argument| argument.name == *by));
    let pattern = match named_by {
        Some(Argument { ty, .. }) => {
            let name = hidden("name");
            quote! { #name if <#ty as ::novella_messaging::contract::NamesMethod>::is_method(#name) }
        }
        None => {
            let name = wire_name(name);
            quote! { #name }
        }
    };
    let outcome = match kind {
        Kind::Call => quote! { call_outcome::<#value, #error> },
        Kind::Cast | Kind::Fanout => quote! { cast_outcome::<#error> },
    };
    quote! {
        #pattern => {
            let #context_name = match #request.context::<#context_type>() {
                ::core::result::Result::Ok(context) => context,
                ::core::result::Result::Err(outcome) => return outcome,
            };
            #(
                let #names = match #request.argument::<#types>(#keys) {
                    ::core::result::Result::Ok(argument) => argument,
                    ::core::result::Result::Err(outcome) => return outcome,
                };
            )*
            ::novella_messaging::contract::#outcome(<M as #interface>::#name(&self.0, #context_name #(, #names)*).await)
        }
    }
}
