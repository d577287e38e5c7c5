//! A cloud with nothing but an API: the real router, a database of the test's own, a bus in this process, and in place of
//! the other services recorders that take every message and do nothing.

mod events;
mod networks;
mod settings;

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode};
use novella_api::{ApiConfig, CLOUD, COMPUTE, QuotaConfig, neighbours::Bus};
use novella_common::{
    config::{DatabaseConfig, Secret, SecretUrl},
    db::{Database, Sql, compute_nodes, flavors, instances, services},
    ids::{Incarnation, InstanceUuid},
    lifecycle::{PowerState, TaskState, VmState},
    models::{AllocationRatios, Binary, Instance, Inventory, Resources},
    service::Readiness,
    sql,
};
use novella_identity::{IDENTITY, Identity, IdentityConfig, PasswordCost, SecurityComplianceConfig, seed};
use novella_image::{IMAGE as IMAGES, ImageConfig, Stores};
use novella_messaging::{BusReport, Endpoint, Outcome, RpcServer, Target, Transport, TransportOptions, Version};
use novella_rest::{ApiError, Server, Service};
pub use novella_testing::On;
use novella_testing::Proxy;
use serde_json::{Value, json};
pub use settings::Settings;
use tower::ServiceExt;

pub const IMAGE: &str = "c1227000-0000-4000-8000-000000000001";
pub const PASSWORD: &str = "s3cret";

/// A message that a recorder took.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// The topic, or topic.server.
    pub to: String,
    pub method: String,
    pub arguments: Value,
}

struct Recorder {
    to: String,
    taken: Arc<Mutex<Vec<Cast>>>,
    answer: Value,
}

impl Endpoint for Recorder {
    fn version(&self) -> Version {
        Version::new(1, 99)
    }

    fn dispatch(&self, request: novella_messaging::Request) -> BoxFuture<'_, Outcome> {
        let arguments = Value::Object(request.arguments().clone());
        let cast = Cast { to: self.to.clone(), method: request.method().to_owned(), arguments };
        self.taken.lock().unwrap().push(cast);
        let answer = self.answer.clone();
        Box::pin(async move { Outcome::Returned(answer) })
    }
}

pub struct Cloud {
    pub on: On,
    pub database: Database,
    pub transport: Transport,
    pub router: Router,
    pub taken: Arc<Mutex<Vec<Cast>>>,
    servers: Mutex<Vec<RpcServer>>,
    /// Where the bytes of images are.
    pub folder: tempfile::TempDir,
    settings: Settings,
    // Last, so that it is dropped after everything that uses it.
    _own: novella_testing::Database,
}

/// The bus of this process, which knows all of itself.
struct BusHere(Transport);

impl Bus for BusHere {
    fn report(&self, _: Vec<String>) -> BoxFuture<'_, Result<(BusReport, Option<String>), ApiError>> {
        Box::pin(async { Ok((self.0.inspect::<&str>(&[]).await.unwrap(), None)) })
    }
}

/// As many servers as a test makes; all else as by default.
pub fn many_servers() -> QuotaConfig {
    QuotaConfig { instances: -1, cores: -1, ram: -1, ..QuotaConfig::default() }
}

pub async fn connect(url: &str) -> Database {
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    Database::connect(&config).await.unwrap()
}

/// Puts in what each component has of a new cloud.
pub async fn fill(database: &Database, seeds: &seed::SeedConfig) {
    flavors::seed(database).await.unwrap();
    novella_image::seed::run(database, &[]).await.unwrap();
    seed::run(database, seeds).await.unwrap();
}

/// Passwords are hashed in no time: every test asks for tokens.
pub fn identity_config() -> IdentityConfig {
    let PasswordCost { memory_kib, iterations, lanes } = PasswordCost { memory_kib: 8, iterations: 1, lanes: 1 };
    IdentityConfig {
        password_hash_memory_kib: memory_kib,
        password_hash_iterations: iterations,
        password_hash_lanes: lanes,
        ..IdentityConfig::default()
    }
}

/// What every test's database has in it: a new cloud's rows.
async fn prepare(url: String) {
    let database = connect(&url).await;
    database.migrate().await.unwrap();
    let password = Some(Secret::new(PASSWORD));
    fill(
        &database,
        &seed::SeedConfig {
            admin_password: password.clone(),
            demo_password: password,
            catalog: [&COMPUTE, &IDENTITY, &IMAGES, &CLOUD].map(|service| service.catalog_entry()).to_vec(),
            password_cost: identity_config().password_cost(),
            ..Default::default()
        },
    )
    .await;
    database.close().await;
}

impl Cloud {
    /// The same without a conductor.
    pub async fn with_only_a_scheduler(on: On) -> Self {
        let cloud = Self::without_services(on, ApiConfig::default()).await;
        cloud.record("scheduler", None, Value::Null).await;
        cloud
    }

    /// With a scheduler, a conductor, and users admin and demo.
    pub async fn new(on: On) -> Self {
        Self::configured(on, ApiConfig::default()).await
    }

    pub async fn configured(on: On, config: ApiConfig) -> Self {
        let cloud = Self::without_services(on, config).await;
        cloud.record("scheduler", None, Value::Null).await;
        cloud.record("conductor", None, Value::Null).await;
        cloud
    }

    pub async fn without_services(on: On, config: ApiConfig) -> Self {
        Self::with(on, Settings { config, ..Settings::default() }).await
    }

    /// With a scheduler and these quotas.
    pub async fn with_quota(on: On, quota: QuotaConfig) -> Self {
        let cloud = Self::with(on, Settings { quota, ..Settings::default() }).await;
        cloud.record("scheduler", None, Value::Null).await;
        cloud
    }

    /// A whole API on PostgreSQL and on this bus, with a network to the database that can fail.
    pub async fn behind_a_network(transport: Transport) -> (Self, Proxy) {
        let own = novella_testing::Database::prepared(On::Postgres, prepare).await;
        let proxy = Proxy::before(own.url()).await;
        let database = connect(proxy.url()).await;
        (Self::assembled(On::Postgres, own, database, transport, Settings::default()), proxy)
    }

    /// With other rules for passwords.
    pub async fn with_identity(on: On, identity: IdentityConfig) -> Self {
        Self::with(on, Settings { identity, ..Settings::default() }).await
    }

    async fn with(on: On, settings: Settings) -> Self {
        let own = novella_testing::Database::prepared(on, prepare).await;
        let database = connect(own.url()).await;
        let transport = Transport::connect("memory://", TransportOptions::default()).await.unwrap();
        Self::assembled(on, own, database, transport, settings)
    }

    fn assembled(
        on: On,
        own: novella_testing::Database,
        database: Database,
        transport: Transport,
        settings: Settings,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let router = settings.router(&database, &transport, folder.path());
        let (taken, servers) = (Arc::default(), Mutex::default());
        Self { on, database, transport, router, taken, servers, folder, settings, _own: own }
    }

    /// The same after a restart of the API, configured otherwise.
    fn changed(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.router = self.settings.router(&self.database, &self.transport, self.folder.path());
        self
    }

    /// The same after a restart of the API, with this configuration.
    pub fn restarted(self, config: ApiConfig, security_compliance: SecurityComplianceConfig) -> Self {
        self.changed(|settings| {
            (settings.config, settings.quota) = (config, QuotaConfig::default());
            settings.security_compliance = security_compliance;
        })
    }

    /// The same after a restart of the API, with these policy files.
    pub fn with_policies(self, files: &[(&'static Service, &str)]) -> Self {
        self.changed(|settings| {
            settings.policies = files.iter().map(|(service, file)| (*service, (*file).to_owned())).collect();
        })
    }

    /// The same, where deleted servers are kept for a while.
    pub fn keeping_deleted(self, reclaim_instance_interval: std::time::Duration) -> Self {
        self.changed(|settings| settings.service.reclaim_instance_interval = reclaim_instance_interval)
    }

    /// The Image component of another process, on the same database and the same store.
    pub fn images(&self) -> novella_image::Images {
        let image = &self.settings.image;
        let store = Stores::open(image, self.folder.path()).unwrap();
        novella_image::Images::new(self.database.clone(), store, image.clone())
    }

    /// The same with another configuration of images.
    pub fn with_images(self, image: ImageConfig) -> Self {
        self.changed(|settings| settings.image = image)
    }

    /// The URL of its database, for whoever comes beside it.
    pub fn database_url(&self) -> &str {
        self._own.url()
    }

    /// Takes all messages to a topic, or to one server of it; calls get `answer`.
    pub async fn record(&self, topic: &str, server: Option<&str>, answer: Value) {
        let target = Target::new(topic);
        let (target, to) = match server {
            Some(server) => (target.server(server), format!("{topic}.{server}")),
            None => (target.server("recorder"), topic.to_owned()),
        };
        let recorder = Recorder { to, taken: Arc::clone(&self.taken), answer };
        let server = RpcServer::builder(&self.transport, target).endpoint(recorder).start().await.unwrap();
        self.servers.lock().unwrap().push(server);
    }

    /// A compute host that is up and takes every message.
    pub async fn start_host(&self, name: &str) {
        self.write_host(name, "nova").await;
        self.record("compute", Some(name), json!("console text\n")).await;
    }

    /// A compute host's rows, with a heartbeat of now.
    pub async fn write_host(&self, name: &str, zone: &str) {
        let inventory = Inventory {
            total: Resources { vcpus: 8, memory_mb: 16384, disk_gb: 100 },
            reserved: Resources { vcpus: 0, memory_mb: 512, disk_gb: 0 },
            ratios: AllocationRatios::default(),
            hypervisor_type: "fake".into(),
            hypervisor_version: 1000,
            hypervisor_hostname: name.into(),
            host_ip: "10.0.0.1".into(),
            cpu_info: json!({"arch": "x86_64", "vendor": "fake"}),
            availability_zone: zone.into(),
        };
        let mut connection = self.database.write().await.unwrap();
        compute_nodes::upsert(&mut connection, name, &inventory).await.unwrap();
        services::heartbeat(&mut connection, Binary::Compute, name, zone, Incarnation::random()).await.unwrap();
    }

    /// Declares a host down.
    pub async fn force_down(&self, host: &str) {
        let mut connection = self.database.write().await.unwrap();
        let service = services::find(&mut connection, Binary::Compute, host).await.unwrap().unwrap();
        let change = services::ServiceChange { forced_down: Some(true), ..Default::default() };
        services::update(&mut connection, &service.uuid, &change).await.unwrap();
    }

    /// The messages so far, once there are at least `count`.
    pub async fn casts(&self, count: usize) -> Vec<Cast> {
        loop {
            let taken = self.taken.lock().unwrap().clone();
            if taken.len() >= count {
                return taken;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Makes a server by the API, and puts it where a scheduler and a host would have.
    pub async fn active_server(&self, client: &Client<'_>, name: &str, host: &str) -> InstanceUuid {
        let uuid = self.new_server(client, name).await;
        self.place(uuid, host, "active", 1).await;
        uuid
    }

    /// Makes a server by the API, and waits for the message about it.
    pub async fn new_server(&self, client: &Client<'_>, name: &str) -> InstanceUuid {
        let answer = client.post("/compute/v2.1/servers", &create(name)).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        let id = answer.body["server"]["id"].as_str().unwrap();
        // Who counts messages counts from here on.
        while !self.taken.lock().unwrap().iter().any(|cast| cast.arguments.to_string().contains(id)) {
            tokio::task::yield_now().await;
        }
        id.parse().unwrap()
    }

    /// Writes what a scheduler and a host would have written.
    pub async fn place(&self, uuid: InstanceUuid, host: &str, vm_state: &str, power_state: i64) {
        self.execute(sql!(
            "UPDATE instances SET host = " (host) ", availability_zone = 'nova', vm_state = " (vm_state)
            ", power_state = " (power_state)
            ", task_state = NULL, task_id = NULL, task_request_id = NULL, launched_at = created_at, updated_at = "
            (jiff::Timestamp::now()) " WHERE uuid = " (uuid)
        ))
        .await;
    }

    /// Runs one statement.
    pub async fn execute(&self, mut statement: Sql) {
        statement.execute(&mut self.database.write().await.unwrap()).await.unwrap();
    }

    pub async fn instance(&self, uuid: InstanceUuid) -> Option<Instance> {
        instances::get_with_deleted(&mut self.database.read().await.unwrap(), uuid).await.unwrap()
    }

    pub async fn states(&self, uuid: InstanceUuid) -> (VmState, Option<TaskState>, PowerState) {
        let instance = self.instance(uuid).await.unwrap();
        (instance.vm_state, instance.task_state, instance.power_state)
    }

    /// Identity in another process, on the same database.
    pub async fn identity_beside(&self) -> Router {
        let database = connect(self.database_url()).await;
        let config = ApiConfig::default();
        let compliance = SecurityComplianceConfig::default();
        let identity = Identity::new(database.clone(), config.token_ttl, identity_config(), compliance);
        Server::new(config.rest(), Arc::new(identity.clone()))
            .service(&IDENTITY, identity, novella_identity::operations())
            .router(Readiness::new().database(&database))
    }

    /// Another process that serves the same cloud.
    pub async fn another_process(&self) -> Router {
        let database = connect(self.database_url()).await;
        Settings::default().router(&database, &self.transport, self.folder.path())
    }

    /// A token by this body, or the status of the refusal.
    pub async fn token(&self, body: &Value) -> Result<(String, Value), u16> {
        let answer = self.anonymous().post("/identity/v3/auth/tokens?nocatalog", body).await;
        match answer.header("x-subject-token") {
            Some(token) if answer.status == 201 => Ok((token.to_owned(), answer.body["token"].clone())),
            _ => Err(answer.status),
        }
    }

    pub async fn admin(&self) -> Client<'_> {
        self.login("admin", "admin").await
    }

    pub async fn demo(&self) -> Client<'_> {
        self.login("demo", "demo").await
    }

    pub async fn login(&self, user: &str, project: &str) -> Client<'_> {
        let answer = self.anonymous().post("/identity/v3/auth/tokens", &password(user, PASSWORD, project)).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        let token = answer.headers["x-subject-token"].to_str().unwrap().to_owned();
        Client { cloud: self, token: Some(token), version: None, via: None }
    }

    pub fn anonymous(&self) -> Client<'_> {
        Client { cloud: self, token: None, version: None, via: None }
    }
}

/// The body that asks for a token.
pub fn password(user: &str, password: &str, project: &str) -> Value {
    let domain = json!({"id": "default"});
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"name": user, "domain": domain, "password": password}}},
        "scope": {"project": {"name": project, "domain": domain}},
    }})
}

/// The body of a plain create.
pub fn create(name: &str) -> Value {
    json!({"server": {"name": name, "imageRef": IMAGE, "flavorRef": "1"}})
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct Client<'c> {
    cloud: &'c Cloud,
    pub token: Option<String>,
    version: Option<String>,
    /// Another process than the cloud's own, on the same database.
    via: Option<Router>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Null if there is none.
    pub body: Value,
}

impl Answer {
    /// The text of an error of the Compute API.
    pub fn message(&self) -> &str {
        let error = self.body.as_object().and_then(|body| body.values().next());
        error.and_then(|error| error["message"].as_str()).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Client<'_> {
    /// The same, asking another process.
    pub fn via(&self, router: &Router) -> Self {
        Self { via: Some(router.clone()), ..self.clone() }
    }

    /// The same, with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same, naming a microversion.
    pub fn at(&self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Body::from(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Body::from(body.to_string())).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Body::from(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, Body::empty()).await
    }

    pub async fn action(&self, server: InstanceUuid, body: &Value) -> Answer {
        self.post(&format!("/compute/v2.1/servers/{server}/action"), body).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Body) -> Answer {
        self.send_with(method, path, body, &[("content-type", "application/json")]).await
    }

    pub async fn send_with(&self, method: Method, path: &str, body: Body, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "cloud.test");
        if let Some(token) = &self.token {
            request = request.header("x-auth-token", token);
        }
        if let Some(version) = &self.version {
            request = request.header("openstack-api-version", format!("compute {version}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let router = self.via.as_ref().unwrap_or(&self.cloud.router);
        let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        if parts.headers.get("content-type").is_some_and(|form| form == "text/event-stream") {
            // Without an end. Who reads it does so by itself.
            return Answer { status: parts.status.as_u16(), headers: parts.headers, body: Value::Null };
        }
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert!(parts.headers.contains_key("x-openstack-request-id"), "{path}");
        if parts.status != StatusCode::NO_CONTENT && !bytes.is_empty() && path != "/healthz" {
            assert_eq!(parts.headers["content-type"], "application/json", "{path}");
        }
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}
