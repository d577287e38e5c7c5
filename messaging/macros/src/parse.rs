//! From the trait's syntax to what it means, with an error at the very place for everything that
//! makes no sense.

use proc_macro2::{Span, TokenStream};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ItemTrait, LitInt, LitStr, Meta, Pat, PathArguments, Receiver,
    Result, ReturnType, TraitItem, TraitItemFn, Type,
};

/// `major.minor`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

pub(crate) struct Contract {
    pub(crate) item: ItemTrait,
    pub(crate) topic: LitStr,
    pub(crate) version: Version,
    pub(crate) namespace: Option<LitStr>,
    pub(crate) methods: Vec<Method>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Cast,
    Fanout,
}

pub(crate) struct Method {
    pub(crate) name: Ident,
    /// Doc comments and whatever else stands on the method, without `#[rpc]`.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) kind: Kind,
    pub(crate) since: Version,
    pub(crate) timeout_seconds: Option<u64>,
    /// The argument that says the name on the wire.
    pub(crate) named_by: Option<Ident>,
    pub(crate) receiver: Receiver,
    pub(crate) context: Argument,
    pub(crate) arguments: Vec<Argument>,
    /// The whole return type.
    pub(crate) output: Type,
    /// `T` and `E` of `Result<T, E>`.
    pub(crate) value: Type,
    pub(crate) error: Type,
}

pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

/// Keeps the errors that were found, so that all are shown at once.
fn combine(errors: &mut Option<Error>, error: Error) {
    match errors {
        Some(errors) => errors.combine(error),
        None => *errors = Some(error),
    }
}

pub(crate) fn contract(attribute: TokenStream, item: TokenStream) -> Result<Contract> {
    let mut item: ItemTrait = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), format!("#[contract] stands on a trait whose methods have no body ({error})"))
    })?;
    let (mut topic, mut version, mut namespace) = (None, None, None);
    syn::meta::parser(|meta| {
        let text = || meta.value()?.parse::<LitStr>();
        if meta.path.is_ident("topic") {
            topic = Some(text()?);
        } else if meta.path.is_ident("version") {
            version = Some(read_version(&text()?)?);
        } else if meta.path.is_ident("namespace") {
            namespace = Some(text()?);
        } else {
            return Err(meta.error("unknown option; there are `topic`, `version` and `namespace`"));
        }
        Ok(())
    })
    .parse2(attribute)?;
    let missing = |option: &str| {
        Error::new(
            Span::call_site(),
            format!("the contract needs `{option}`, as in #[contract(topic = \"compute\", version = \"1.0\")]"),
        )
    };
    let topic = topic.ok_or_else(|| missing("topic"))?;
    let version = version.ok_or_else(|| missing("version"))?;
    if !item.generics.params.is_empty() {
        return Err(Error::new(
            item.generics.params.span(),
            "a contract has no generic parameters: the other side could not know them",
        ));
    }

    let mut errors = None;
    let mut methods = Vec::new();
    for member in std::mem::take(&mut item.items) {
        let method = match member {
            TraitItem::Fn(function) => method(function, version),
            other => Err(Error::new(other.span(), "a contract has only methods")),
        };
        match method {
            Ok(method) => methods.push(method),
            Err(error) => combine(&mut errors, error),
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None => Ok(Contract { item, topic, version, namespace, methods }),
    }
}

fn read_version(text: &LitStr) -> Result<Version> {
    let value = text.value();
    value
        .split_once('.')
        .and_then(|(major, minor)| Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? }))
        .ok_or_else(|| Error::new(text.span(), format!("`{value}` is not a version of the form \"major.minor\"")))
}

fn method(function: TraitItemFn, contract: Version) -> Result<Method> {
    let signature = function.sig;
    if let Some(body) = function.default {
        return Err(Error::new(body.span(), "a contract's method has no body; the manager implements it"));
    }
    if signature.asyncness.is_none() {
        return Err(Error::new(
            signature.fn_token.span,
            "a contract's method is an `async fn`: its caller waits for a message",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.params.span(),
            "a contract's method has no generic parameters: the other side could not know them",
        ));
    }
    let (rpc, attributes): (Vec<_>, Vec<_>) =
        function.attrs.into_iter().partition(|attribute| attribute.path().is_ident("rpc"));
    let [rpc] = rpc.as_slice() else {
        return Err(Error::new(
            signature.ident.span(),
            "say once how the method is reached: #[rpc(call)], #[rpc(cast)] or #[rpc(fanout)]",
        ));
    };
    let options = options(rpc, contract)?;
    let (receiver, context, arguments) = inputs(&signature.inputs, &signature.ident)?;
    if let Some(named_by) = &options.named_by
        && !arguments.iter().any(|argument| argument.name == *named_by)
    {
        return Err(Error::new(named_by.span(), format!("the method has no argument `{named_by}`")));
    }
    let (output, value, error) = output(&signature.output, &signature.ident, options.kind)?;
    Ok(Method {
        name: signature.ident,
        attributes,
        kind: options.kind,
        since: options.since,
        timeout_seconds: options.timeout_seconds,
        named_by: options.named_by,
        receiver,
        context,
        arguments,
        output,
        value,
        error,
    })
}

struct Options {
    kind: Kind,
    since: Version,
    timeout_seconds: Option<u64>,
    named_by: Option<Ident>,
}

fn options(rpc: &Attribute, contract: Version) -> Result<Options> {
    let no_kind = || Error::new(rpc.path().span(), "say how the method is reached: `call`, `cast` or `fanout`");
    if matches!(rpc.meta, Meta::Path(_)) {
        return Err(no_kind());
    }
    let (mut kind, mut since, mut timeout, mut named_by) = (None, None, None, None);
    rpc.parse_nested_meta(|meta| {
        let named = [("call", Kind::Call), ("cast", Kind::Cast), ("fanout", Kind::Fanout)]
            .into_iter()
            .find(|(name, _)| meta.path.is_ident(name));
        if let Some((_, this)) = named {
            if kind.replace(this).is_some() {
                return Err(meta.error("a method is a call, a cast or a fanout, only one of them"));
            }
        } else if meta.path.is_ident("since") {
            let text: LitStr = meta.value()?.parse()?;
            let version = read_version(&text)?;
            if version.major != contract.major || version > contract {
                let message = format!(
                    "the contract's version is {}.{}; `since` lies within its major and not above it",
                    contract.major, contract.minor
                );
                return Err(Error::new(text.span(), message));
            }
            since = Some(version);
        } else if meta.path.is_ident("timeout_seconds") {
            let number: LitInt = meta.value()?.parse()?;
            if number.base10_parse::<u64>()? == 0 {
                return Err(Error::new(number.span(), "a timeout of 0 s leaves no time to answer"));
            }
            timeout = Some(number);
        } else if meta.path.is_ident("named_by") {
            named_by = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error(
                "unknown option; there are `call`, `cast`, `fanout`, `since = \"1.1\"`, `timeout_seconds = 120` and \
                 `named_by = an_argument`",
            ));
        }
        Ok(())
    })?;
    let kind = kind.ok_or_else(no_kind)?;
    if let Some(timeout) = timeout.as_ref().filter(|_| kind != Kind::Call) {
        return Err(Error::new(timeout.span(), "only a call waits for an answer; a cast or fanout has no timeout"));
    }
    Ok(Options {
        kind,
        since: since.unwrap_or(Version { major: contract.major, minor: 0 }),
        timeout_seconds: timeout.map(|number| number.base10_parse()).transpose()?,
        named_by,
    })
}

fn inputs(
    inputs: &syn::punctuated::Punctuated<FnArg, syn::Token![,]>,
    method: &Ident,
) -> Result<(Receiver, Argument, Vec<Argument>)> {
    let mut inputs = inputs.iter();
    let receiver = match inputs.next() {
        Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() && receiver.mutability.is_none() => {
            receiver.clone()
        }
        other => {
            return Err(Error::new(
                other.map_or(method.span(), Spanned::span),
                "a contract's method takes `&self` first",
            ));
        }
    };
    let mut arguments = inputs.map(argument).collect::<Result<Vec<_>>>()?.into_iter();
    let missing = || {
        Error::new(
            method.span(),
            "the first argument after `&self` is the caller's context, as in `ctx: RequestContext`",
        )
    };
    let context = arguments.next().ok_or_else(missing)?;
    if !matches!(context.name.to_string().as_str(), "ctx" | "context" | "_ctx" | "_context") {
        return Err(Error::new(
            context.name.span(),
            "the first argument after `&self` is the caller's context and is called `ctx`",
        ));
    }
    Ok((receiver, context, arguments.collect()))
}

fn argument(input: &FnArg) -> Result<Argument> {
    let FnArg::Typed(typed) = input else {
        return Err(Error::new(input.span(), "`self` comes first"));
    };
    let Pat::Ident(name) = &*typed.pat else {
        return Err(Error::new(typed.pat.span(), "an argument is a plain name: it is its name on the wire"));
    };
    if let Type::Reference(reference) = &*typed.ty {
        return Err(Error::new(reference.span(), "arguments are owned: they arrive in another process"));
    }
    if let Type::ImplTrait(opaque) = &*typed.ty {
        return Err(Error::new(opaque.span(), "an argument has a concrete type: it is rebuilt in another process"));
    }
    Ok(Argument { name: name.ident.clone(), ty: (*typed.ty).clone() })
}

fn output(output: &ReturnType, method: &Ident, kind: Kind) -> Result<(Type, Type, Type)> {
    let expected = match kind {
        Kind::Call => "a call returns `Result<T, E>`: `T` is what the caller gets, `E` the contract's error type",
        Kind::Cast | Kind::Fanout => "a cast or fanout returns `Result<(), E>`: an error makes the message come again",
    };
    let ReturnType::Type(_, ty) = output else {
        return Err(Error::new(method.span(), expected));
    };
    let arguments = match &**ty {
        Type::Path(path) => {
            path.path.segments.last().filter(|segment| segment.ident == "Result").map(|segment| &segment.arguments)
        }
        _ => None,
    };
    let Some(PathArguments::AngleBracketed(arguments)) = arguments else {
        return Err(Error::new(ty.span(), expected));
    };
    let types: Vec<&Type> = arguments
        .args
        .iter()
        .filter_map(|argument| if let GenericArgument::Type(ty) = argument { Some(ty) } else { None })
        .collect();
    let [value, error] = types.as_slice() else {
        return Err(Error::new(ty.span(), format!("{expected} (write both types out, not an alias)")));
    };
    let is_unit = matches!(value, Type::Tuple(tuple) if tuple.elems.is_empty());
    if kind != Kind::Call && !is_unit {
        let message = "nobody waits for a cast's result: make it a call, or return `Result<(), E>`";
        return Err(Error::new(value.span(), message));
    }
    Ok(((**ty).clone(), (*value).clone(), (*error).clone()))
}

#[cfg(test)]
mod tests;
