//! Limits how many requests are worked on at once.
//!
//! A request holds a permit while this process works for it, and not while it waits for somebody else: for its own client,
//! whose body is not there yet, for a compute host, for a permit to have a password checked. So whoever is slow is slow for
//! itself, and each of those waits is bounded where it happens.
//!
//! Neither one client nor one route can have all permits: the rest is for the others.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use novella_common::service::ClientAddress;

use crate::{ApiError, RestConfig, proxy::client_address};

/// How many requests of one client may wait in a queue of all clients, who wait behind them: a Keystone checks some hundred
/// tokens in a second.
const MAX_QUEUED: usize = 256;

/// The path of an operation with its method, below the root of its service.
pub(crate) type Route = (&'static str, &'static str, Method);

/// The limit on the requests of all services of a process.
pub(crate) struct RequestLimiter {
    config: Arc<RestConfig>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_client: HashMap<ClientAddress, usize>,
    by_route: HashMap<Route, usize>,
    /// Those that wait in a queue of all clients, and hold no permit.
    queued: HashMap<ClientAddress, usize>,
}

/// The permit of one request. Clones share it.
#[derive(Clone)]
pub(crate) struct RequestPermit(Arc<Mutex<Holding>>);

struct Holding {
    limiter: Arc<RequestLimiter>,
    client: ClientAddress,
    route: Option<Route>,
    state: Held,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Yes,
    /// While the request waits for somebody else.
    No,
    /// It has been answered, or its client is gone.
    Over,
}

impl RequestLimiter {
    pub(crate) fn new(config: Arc<RestConfig>) -> Arc<Self> {
        Arc::new(Self { config, taken: Mutex::default() })
    }

    fn acquire(&self, client: ClientAddress, route: Option<&Route>) -> Result<(), ApiError> {
        let limits = &self.config;
        let mut taken = lock(&self.taken);
        let Taken { all, by_client, by_route, .. } = &mut *taken;
        if *all >= limits.max_in_flight {
            return Err(ApiError::Unavailable("The service works on as many requests as it may.".into()));
        }
        if count(by_client, &client) >= limits.max_in_flight_per_address {
            return Err(ApiError::TooManyRequests(format!(
                "The service works on {} requests from your address, as many as it may.",
                limits.max_in_flight_per_address
            )));
        }
        if let Some(route) = route {
            self.count_route(by_route, route)?;
        }
        *by_client.entry(client).or_default() += 1;
        *all += 1;
        Ok(())
    }

    fn count_route(&self, by_route: &mut HashMap<Route, usize>, route: &Route) -> Result<(), ApiError> {
        if count(by_route, route) >= self.config.max_in_flight_per_route {
            let (root, path, method) = route;
            return Err(ApiError::Unavailable(format!(
                "The service works on as many requests of {method} {root}{path} as it may."
            )));
        }
        *by_route.entry(route.clone()).or_default() += 1;
        Ok(())
    }

    fn queue(self: &Arc<Self>, client: ClientAddress) -> Result<Queued, ApiError> {
        let mut taken = lock(&self.taken);
        let queued = &mut taken.queued;
        if count(queued, &client) >= MAX_QUEUED {
            return Err(ApiError::TooManyRequests(format!(
                "{MAX_QUEUED} requests from your address wait for Identity, as many as may."
            )));
        }
        *queued.entry(client).or_default() += 1;
        Ok(Queued { limiter: Arc::clone(self), client })
    }

    fn release(&self, client: ClientAddress, route: Option<&Route>) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        one_less(&mut taken.by_client, &client);
        if let Some(route) = route {
            one_less(&mut taken.by_route, route);
        }
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RequestPermit {
    fn acquire(limiter: &Arc<RequestLimiter>, client: ClientAddress) -> Result<Self, ApiError> {
        limiter.acquire(client, None)?;
        let holding = Holding { limiter: Arc::clone(limiter), client, route: None, state: Held::Yes };
        Ok(Self(Arc::new(Mutex::new(holding))))
    }

    /// Counts from now on for this route.
    ///
    /// # Errors
    /// 503 if it has as many requests as it may.
    pub(crate) fn on_route(&self, route: &Route) -> Result<(), ApiError> {
        let mut holding = lock(&self.0);
        if holding.state == Held::Yes {
            holding.limiter.count_route(&mut lock(&holding.limiter.taken).by_route, route)?;
        }
        holding.route = Some(route.clone());
        Ok(())
    }

    /// Waits without a permit: for the client, say. Then acquires one again.
    ///
    /// # Errors
    /// 429 or 503 if there is none any more.
    pub(crate) async fn without<T>(&self, wait: impl Future<Output = T>) -> Result<T, ApiError> {
        self.release(Held::No);
        let result = wait.await;
        let mut holding = lock(&self.0);
        if holding.state == Held::No {
            holding.limiter.acquire(holding.client, holding.route.as_ref())?;
            holding.state = Held::Yes;
        }
        Ok(result)
    }

    /// The same in a queue of all clients, in which one client has [`MAX_QUEUED`] places.
    ///
    /// # Errors
    /// 429 if the client has as many, or as [`without`](Self::without).
    pub(crate) async fn without_while_queued<T>(&self, wait: impl Future<Output = T>) -> Result<T, ApiError> {
        let queued = {
            let holding = lock(&self.0);
            holding.limiter.queue(holding.client)?
        };
        let result = self.without(wait).await;
        drop(queued);
        result
    }

    /// Gives the permit back: what is left of the request is to wait, and then to write an answer.
    pub(crate) fn leave(&self) {
        self.release(Held::No);
    }

    fn release(&self, then: Held) {
        let mut holding = lock(&self.0);
        if holding.state == Held::Yes {
            holding.limiter.release(holding.client, holding.route.as_ref());
        }
        if holding.state != Held::Over {
            holding.state = then;
        }
    }
}

/// A place in a queue of all clients, until it is dropped.
struct Queued {
    limiter: Arc<RequestLimiter>,
    client: ClientAddress,
}

impl Drop for Queued {
    fn drop(&mut self) {
        one_less(&mut lock(&self.limiter.taken).queued, &self.client);
    }
}

/// Gives the permit back in the end, however that comes about.
struct UntilEnd(RequestPermit);

impl Drop for UntilEnd {
    fn drop(&mut self) {
        self.0.release(Held::Over);
    }
}

/// Lets a request in if there is a permit for it, and finds out whose it is.
pub(crate) async fn admit(State(limiter): State<Arc<RequestLimiter>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let client = client_address(&parts, &limiter.config.trusted_proxies);
    let permit = match RequestPermit::acquire(&limiter, client) {
        Ok(permit) => permit,
        Err(error) => return error.into_response(),
    };
    parts.extensions.insert(client);
    parts.extensions.insert(permit.clone());
    let _until_end = UntilEnd(permit);
    next.run(Request::from_parts(parts, body)).await
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn limiter(all: usize, per_address: usize, per_route: usize) -> Arc<RequestLimiter> {
        RequestLimiter::new(Arc::new(RestConfig {
            max_in_flight: all,
            max_in_flight_per_address: per_address,
            max_in_flight_per_route: per_route,
            ..RestConfig::default()
        }))
    }

    fn client(text: &str) -> ClientAddress {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn neither_one_client_nor_one_route_has_all_permits() {
        let limiter = limiter(4, 3, 2);
        let (one, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let route = |path| ("/compute", path, Method::GET);
        let taken: Vec<_> = (0..3).map(|_| RequestPermit::acquire(&limiter, one).unwrap()).collect();
        assert!(matches!(RequestPermit::acquire(&limiter, one), Err(ApiError::TooManyRequests(_))));
        for permit in &taken[..2] {
            permit.on_route(&route("/servers")).unwrap();
        }
        assert!(matches!(taken[2].on_route(&route("/servers")), Err(ApiError::Unavailable(_))));
        let last = RequestPermit::acquire(&limiter, other).unwrap();
        last.on_route(&route("/flavors")).unwrap();
        assert!(matches!(RequestPermit::acquire(&limiter, other), Err(ApiError::Unavailable(_))));
    }

    #[tokio::test]
    async fn one_client_does_not_have_all_places_in_a_queue() {
        let limiter = limiter(9, 2, 9);
        let (one, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let mut queue = Vec::new();
        for _ in 0..MAX_QUEUED {
            let waits = RequestPermit::acquire(&limiter, one).unwrap();
            let mut waiting = Box::pin(async move { waits.without_while_queued(std::future::pending::<()>()).await });
            assert!(futures_util::FutureExt::now_or_never(waiting.as_mut()).is_none());
            queue.push(waiting);
        }
        let next = RequestPermit::acquire(&limiter, one).unwrap();
        let refused = next.without_while_queued(std::future::ready(())).await;
        assert!(matches!(refused, Err(ApiError::TooManyRequests(_))));
        RequestPermit::acquire(&limiter, other).unwrap().without_while_queued(std::future::ready(())).await.unwrap();
        // Who does not wait any longer leaves the queue.
        drop(queue);
        next.without_while_queued(std::future::ready(())).await.unwrap();
        assert!(lock(&limiter.taken).queued.is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_somebody_else_holds_no_permit_and_all_are_given_back() {
        let limiter = limiter(1, 1, 1);
        let one = client("192.0.2.1");
        let route = ("/compute", "/servers", Method::POST);
        let slow = RequestPermit::acquire(&limiter, one).unwrap();
        slow.on_route(&route).unwrap();
        let meanwhile = slow.without(async { RequestPermit::acquire(&limiter, one).map(UntilEnd) }).await;
        // The other has the permit: there is none for who comes back.
        assert!(matches!(meanwhile, Err(ApiError::Unavailable(_))));
        let again = slow.without(std::future::ready(())).await;
        assert!(again.is_ok());
        slow.leave();
        drop(UntilEnd(slow.clone()));
        slow.without(std::future::ready(())).await.unwrap();
        let taken = lock(&limiter.taken);
        assert!(taken.all == 0 && taken.by_client.is_empty() && taken.by_route.is_empty());
    }
}
