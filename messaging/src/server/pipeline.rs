//! What a server does with a request once it may run: serializer, middleware, endpoint.

use std::sync::Arc;

use serde_json::Value;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt};

use crate::endpoint::{Dispatcher, Request};
use crate::serializer::Serializer;
use crate::wire::{Failure, RequestMessage};

/// A server's middleware, with what finds the endpoint inside.
pub type ServerService = BoxCloneSyncService<Request, Value, BoxError>;

/// The way from a request to its result.
#[derive(Debug)]
pub(super) struct Pipeline {
    dispatcher: Dispatcher,
    /// Around the dispatcher; without any, the way is a direct one.
    middleware: Option<ServerService>,
    serializer: Option<Arc<dyn Serializer>>,
}

impl Pipeline {
    pub(super) fn new(dispatcher: Dispatcher, serializer: Option<Arc<dyn Serializer>>) -> Self {
        Self { dispatcher, middleware: None, serializer }
    }

    pub(super) fn add_layer<L>(&mut self, layer: &L)
    where
        L: Layer<ServerService>,
        L::Service: Service<Request, Response = Value> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Error: Into<BoxError>,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        let inner = self.middleware.take().unwrap_or_else(|| BoxCloneSyncService::new(self.dispatcher.clone()));
        self.middleware = Some(BoxCloneSyncService::new(layer.layer(inner).map_err(Into::into)));
    }

    pub(super) async fn run(
        &self,
        message: &Arc<RequestMessage>,
        sender: Option<Arc<str>>,
    ) -> Result<Value, Box<Failure>> {
        let Some(serializer) = &self.serializer else {
            return self.pass(Request::new(Arc::clone(message), sender)).await;
        };
        let unreadable = |error: crate::MessagingError| Failure::type_error(error.to_string());
        let mut read = RequestMessage::clone(message);
        read.context = serializer.deserialize_context(read.context);
        for value in read.args.values_mut() {
            *value = serializer.deserialize_entity(&read.context, value.take()).map_err(unreadable)?;
        }
        let read = Arc::new(read);
        let result = self.pass(Request::new(Arc::clone(&read), sender)).await?;
        serializer.serialize_entity(&read.context, result).map_err(unreadable)
    }

    async fn pass(&self, request: Request) -> Result<Value, Box<Failure>> {
        match &self.middleware {
            None => self.dispatcher.dispatch(request).await,
            Some(middleware) => middleware.clone().oneshot(request).await.map_err(from_middleware),
        }
    }
}

/// What went wrong, by the word of the endpoint or else of the middleware.
fn from_middleware(error: BoxError) -> Box<Failure> {
    error
        .downcast::<Failure>()
        .unwrap_or_else(|error| Failure::new("builtins", "RuntimeError", format!("refused by the server: {error}")))
}
