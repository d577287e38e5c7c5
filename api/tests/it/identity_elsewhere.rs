//! Whoever knows which tokens are valid, in the same process or over HTTP: the same for those who ask.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::Request, middleware::Next};
use http::Method;
use novella_common::{config::Secret, service::Readiness};
use novella_identity::{Identity, SecurityComplianceConfig};
use novella_image::IMAGE;
use novella_rest::{
    ApiError, Authenticator, RestConfig, Server,
    keystone::{Keystone, KeystoneConfig},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::support::{Client, Cloud, On, PASSWORD, identity_config};

/// Identity behind a socket, and how many requests it was sent.
struct Served {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn new(router: &Router) -> Self {
        // Not one that others may be given while it is free for a while.
        Self::at(router, ([127, 0, 0, 1], novella_testing::free_port()).into()).await
    }

    async fn at(router: &Router, address: SocketAddr) -> Self {
        let requests = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&requests);
        let router = Router::new().fallback_service(router.clone()).layer(axum::middleware::from_fn(
            move |request: Request, next: Next| {
                counted.fetch_add(1, Ordering::Relaxed);
                next.run(request)
            },
        ));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, requests, task }
    }

    fn asked(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends it; then its address is free.
    async fn end(mut self) {
        self.task.abort();
        let ended = (&mut self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the service's user logs in with at this address.
fn config(address: SocketAddr, cache_time: Duration) -> KeystoneConfig {
    KeystoneConfig {
        url: format!("http://{address}/identity"),
        user: "nova".into(),
        user_domain: "Default".into(),
        password: Secret::new(PASSWORD),
        project: "service".into(),
        project_domain: "Default".into(),
        authority: None,
        cache_time,
    }
}

/// Makes the service's user.
async fn make_service_user(admin: &Client<'_>) {
    let project = admin.post("/identity/v3/projects", &json!({"project": {"name": "service"}})).await;
    let user = admin.post("/identity/v3/users", &json!({"user": {"name": "nova", "password": PASSWORD}})).await;
    let role = admin.get("/identity/v3/roles?name=service").await.body["roles"][0]["id"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (project, user) = (text(&project.body["project"]["id"]), text(&user.body["user"]["id"]));
    let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{}", text(&role));
    assert_eq!(admin.put(&grant, &json!({})).await.status, 204);
}

/// Until it holds; fails if it does not soon.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What holds of whoever knows which tokens are valid.
async fn tokens_are_known(cloud: &Cloud, authenticator: &dyn Authenticator) {
    let demo = cloud.demo().await;
    let secret = demo.token.clone().unwrap();
    let token = authenticator.authenticate(&secret).await.unwrap().unwrap();
    assert_eq!((token.user.name.as_str(), token.user_domain.id.as_str()), ("demo", "default"));
    assert_eq!(token.project.as_ref().map(|project| project.name.as_str()), Some("demo"));
    assert_eq!(token.project_domain.as_ref().map(|domain| domain.name.as_str()), Some("Default"));
    // With those that the given one implies.
    let mut roles: Vec<&str> = token.roles.iter().map(|role| role.name.as_str()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["member", "reader"]);
    assert_eq!((token.system, token.is_domain, token.methods.as_slice()), (false, false, &["password".to_owned()][..]));
    assert!(token.expires_at > token.issued_at && token.audit_ids.len() == 1 && token.trust.is_none());

    let unscoped = json!({"auth": {"scope": "unscoped", "identity": {"methods": ["password"], "password": {"user": {
        "name": "demo", "domain": {"id": "default"}, "password": PASSWORD}}}}});
    let unscoped = cloud.token(&unscoped).await.unwrap().0;
    let unscoped = authenticator.authenticate(&unscoped).await.unwrap().unwrap();
    assert!(unscoped.project.is_none() && unscoped.roles.is_empty());
    let system = json!({"auth": {"scope": {"system": {"all": true}}, "identity": {"methods": ["password"], "password": {
        "user": {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}}}}});
    let system = authenticator.authenticate(&cloud.token(&system).await.unwrap().0).await.unwrap().unwrap();
    assert!(system.system && system.roles.iter().any(|role| role.name == "admin"));

    // One that may be used for some requests only says so wherever it is asked about.
    let body = json!({"application_credential": {"name": "narrow", "secret": "x", "access_rules": [
        {"service": "compute", "method": "GET", "path": "/v2.1/servers"}]}});
    let made = demo.post(&format!("/identity/v3/users/{}/application_credentials", token.user.id), &body).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let body = json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
        "id": made.body["application_credential"]["id"], "secret": "x"}}}});
    let narrow = authenticator.authenticate(&cloud.token(&body).await.unwrap().0).await.unwrap().unwrap();
    let credential = narrow.application_credential.as_ref().unwrap();
    let rules = credential.access_rules.as_ref().unwrap();
    assert_eq!((credential.restricted, rules[0].path.as_str()), (true, "/v2.1/servers"));

    for wrong in ["", "x", "0123456789abcdef0123456789abcdef", "\u{e9}", "a\nb"] {
        assert!(authenticator.authenticate(wrong).await.unwrap().is_none(), "{wrong:?}");
    }
    let headers = [("x-subject-token", secret.as_str())];
    let end = demo.send_with(Method::DELETE, "/identity/v3/auth/tokens", axum::body::Body::empty(), &headers).await;
    assert_eq!(end.status, 204);
    until("a revoked token is refused in the end", || async {
        authenticator.authenticate(&secret).await.unwrap().is_none()
    })
    .await;
}

on_both! {
    async fn tokens_are_known_to_identity_in_the_same_process(cloud: Cloud) {
        let database = cloud.database.clone();
        let compliance = SecurityComplianceConfig::default();
        let identity = Identity::new(database, Duration::from_secs(3600), identity_config(), compliance);
        tokens_are_known(&cloud, &identity).await;
    }

    async fn tokens_are_known_to_identity_over_http(cloud: Cloud) {
        make_service_user(&cloud.admin().await).await;
        let served = Served::new(&cloud.router).await;
        let keystone = Keystone::new(config(served.address, Duration::from_millis(300))).unwrap();
        tokens_are_known(&cloud, &keystone).await;
        let project = cloud.admin().await.get("/identity/v3/projects?name=demo").await.body["projects"][0]["id"].clone();
        // This user may not look at projects, so that it is believed, as by Nova.
        assert!(keystone.has_project(project.as_str().unwrap()).await.unwrap());
        let admin = KeystoneConfig {
            user: "admin".into(),
            project: "admin".into(),
            ..config(served.address, Duration::from_secs(1))
        };
        let keystone = Keystone::new(admin).unwrap();
        assert!(keystone.has_project(project.as_str().unwrap()).await.unwrap());
        for none in ["0123456789abcdef0123456789abcdef", "", "../users", "default"] {
            assert!(!keystone.has_project(none).await.unwrap(), "{none}");
        }
    }

    async fn what_was_said_of_a_token_is_believed_for_a_time_and_no_longer(cloud: Cloud) {
        make_service_user(&cloud.admin().await).await;
        let served = Served::new(&cloud.router).await;
        let secret = cloud.demo().await.token.unwrap();
        let keystone = Keystone::new(config(served.address, Duration::from_secs(3600))).unwrap();
        assert!(keystone.authenticate(&secret).await.unwrap().is_some());
        let asked = served.asked();
        assert_eq!(asked, 2, "a log-in and a question");
        for _ in 0..100 {
            assert!(keystone.authenticate(&secret).await.unwrap().is_some());
        }
        assert_eq!(served.asked(), asked);
        // Away, what is known goes on; what is not is 503.
        let address = served.address;
        served.end().await;
        let other = cloud.demo().await.token.unwrap();
        assert!(keystone.authenticate(&secret).await.unwrap().is_some());
        let away = |result: Result<_, ApiError>| matches!(result.map(|_| ()), Err(ApiError::Unavailable(text)) if text.contains("Identity"));
        assert!(away(keystone.authenticate(&other).await));
        assert!(away(keystone.has_project("p").await.map(|_| None)));
        // Back, with another memory: the service's own token is one that it does not know any more.
        cloud.execute(novella_common::sql!("DELETE FROM tokens")).await;
        let served = Served::at(&cloud.router, address).await;
        let other = cloud.demo().await.token.unwrap();
        assert!(keystone.authenticate(&other).await.unwrap().is_some());
        served.end().await;
    }

    async fn a_service_that_is_not_let_in_lets_nobody_in_and_does_not_guess_on(cloud: Cloud) {
        let served = Served::new(&cloud.router).await;
        // There is no such user.
        let keystone = Keystone::new(config(served.address, Duration::from_secs(1))).unwrap();
        let secret = cloud.admin().await.token.unwrap();
        for _ in 0..20 {
            assert!(matches!(keystone.authenticate(&secret).await, Err(ApiError::Unavailable(_))));
        }
        assert!(served.asked() < 5, "{}", served.asked());
        // A user without the role may not ask.
        make_service_user(&cloud.admin().await).await;
        let demo = KeystoneConfig {
            user: "demo".into(),
            project: "demo".into(),
            ..config(served.address, Duration::from_secs(1))
        };
        let keystone = Keystone::new(demo).unwrap();
        assert!(matches!(keystone.authenticate(&secret).await, Err(ApiError::Unavailable(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_hangs_keeps_nobody_waiting_whose_token_is_known() {
    let cloud = Cloud::new(On::Sqlite).await;
    make_service_user(&cloud.admin().await).await;
    let served = Served::new(&cloud.router).await;
    let keystone = Keystone::new(config(served.address, Duration::from_secs(3600))).unwrap();
    let few = RestConfig { max_in_flight: 2, max_in_flight_per_address: 2, ..RestConfig::default() };
    let images = cloud.images();
    let router = Server::new(few, Arc::new(keystone))
        .service(&IMAGE, images, novella_image::operations())
        .router(Readiness::new());
    let list = |token: String| {
        let request = http::Request::get("/image/v2/images").header("host", "cloud.test").header("x-auth-token", token);
        router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap())
    };
    let (known, address) = (cloud.demo().await.token.unwrap(), served.address);
    assert_eq!(list(known.clone()).await.unwrap().status(), 200);

    served.end().await;
    let hanging = TcpListener::bind(address).await.unwrap();
    let (mut waiting, mut connections) = (Vec::new(), Vec::new());
    // One after the other: three that come in at one moment are more than may be in flight.
    for number in 0..4 {
        waiting.push(tokio::spawn(list(format!("unknown-{number}"))));
        connections.push(hanging.accept().await.unwrap());
    }
    for _ in 0..10 {
        assert_eq!(list(known.clone()).await.unwrap().status(), 200);
    }
    // They are told, when it does not answer at all.
    drop(connections);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status(), 503);
    }
}

#[test]
fn what_is_no_url_is_refused_at_the_start() {
    for url in ["", "keystone", "ftp://keystone/v3", "http://", "https:///v3"] {
        let config = KeystoneConfig { url: url.into(), ..config("127.0.0.1:1".parse().unwrap(), Duration::ZERO) };
        let refused = Keystone::new(config).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("is no URL of a service"), "{url}: {refused}");
    }
}
