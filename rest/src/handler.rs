//! A handler, and how its arguments come from a request.
//!
//! A handler is an `async fn` of a [`Request`] and up to two further arguments: the [`Path`]'s parameters, and the body.
//! What it takes says what is read, validated and documented; nothing is registered beside it.

use std::{future::Future, sync::Arc};

use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;

use crate::{ApiError, Body, Request, as_object, openapi::Described, wrong};

/// What a handler can take beside the request.
pub trait Argument: Sized + Send + 'static {
    /// Reads it.
    ///
    /// # Errors
    /// 400 that names what is wrong.
    fn read<S: Send>(request: &mut Request<S>) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// Documents it.
    fn describe(_operation: &mut Described) {}
}

/// The parameters of the path, in its order. What an id may look like is the handler's matter, since the text of the 404
/// is the resource's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl Argument for Path<String> {
    async fn read<S: Send>(request: &mut Request<S>) -> Result<Self, ApiError> {
        Ok(Self(request.path_parameter(0)?))
    }
}

impl Argument for Path<(String, String)> {
    async fn read<S: Send>(request: &mut Request<S>) -> Result<Self, ApiError> {
        Ok(Self((request.path_parameter(0)?, request.path_parameter(1)?)))
    }
}

impl Argument for Path<(String, String, String)> {
    async fn read<S: Send>(request: &mut Request<S>) -> Result<Self, ApiError> {
        Ok(Self((request.path_parameter(0)?, request.path_parameter(1)?, request.path_parameter(2)?)))
    }
}

/// Null behind the one key of the body: an action that takes nothing and lets nothing be given.
#[derive(Clone, Copy, Debug)]
pub struct Null;

impl Argument for Null {
    async fn read<S: Send>(request: &mut Request<S>) -> Result<Self, ApiError> {
        match as_object(request.json().await?)?.iter().next() {
            Some((name, value)) if !value.is_null() => {
                Err(wrong(name, value, &format!("{value} is not of type 'null'")))
            }
            _ => Ok(Self),
        }
    }
}

impl<T: Body> Argument for T {
    async fn read<S: Send>(request: &mut Request<S>) -> Result<Self, ApiError> {
        let version = request.version;
        T::from_json(request.json().await?, version)
    }

    fn describe(operation: &mut Described) {
        operation.body(T::schema);
    }
}

/// A handler with its arguments read for it.
pub(crate) type BoxedHandler<S> =
    Arc<dyn Fn(Request<S>) -> BoxFuture<'static, Result<Response, ApiError>> + Send + Sync>;

/// An `async fn` that answers requests. `A` are its arguments beside the request.
pub trait Handler<S, A>: Clone + Send + Sync + 'static {
    /// Reads the arguments and answers.
    fn call(self, request: Request<S>) -> BoxFuture<'static, Result<Response, ApiError>>;

    /// Documents the arguments.
    fn describe(operation: &mut Described);
}

macro_rules! handlers {
    ($(($($argument:ident),*);)*) => {
        $(
            impl<S, F, O, R, $($argument),*> Handler<S, ($($argument,)*)> for F
            where
                S: Send + 'static,
                F: Fn(Request<S>, $($argument),*) -> O + Clone + Send + Sync + 'static,
                O: Future<Output = Result<R, ApiError>> + Send,
                R: IntoResponse,
                $($argument: Argument),*
            {
                #[allow(non_snake_case, unused_mut)]
                fn call(self, mut request: Request<S>) -> BoxFuture<'static, Result<Response, ApiError>> {
                    Box::pin(async move {
                        $(let $argument = $argument::read(&mut request).await?;)*
                        Ok(self(request, $($argument),*).await?.into_response())
                    })
                }

                fn describe(_operation: &mut Described) {
                    $($argument::describe(_operation);)*
                }
            }
        )*
    };
}

handlers! {
    ();
    (A);
    (A, B);
}
