//! `bus.sock`: the way into a bus that is inside a `novella up`, for this user's other processes.
//!
//! HTTP on a Unix socket in the data folder: `POST /` with a [`Request`] as JSON is answered by its result, or by 422
//! and `{"error": text}`. Whoever can open the socket is the administrator, so its mode is 0600 from the first moment.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use novella_messaging::Transport;
use serde_json::{Value, json};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use super::Request;

const NAME: &str = "bus.sock";

/// The socket while it is served. Dropped, it is closed and its file removed.
pub(crate) struct AdminSocket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl AdminSocket {
    /// Serves `transport` in the data folder, in place of a socket that a crash left there.
    pub(crate) fn serve(folder: &Path, transport: Transport) -> Result<Self> {
        let path = folder.join(NAME);
        let listener = bind(folder, &path).with_context(|| {
            format!("can't listen on {}, so `novella rpc` and `novella bus` will not reach this cloud", path.display())
        })?;
        let router = Router::new().route("/", post(perform)).with_state(transport);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the socket of the bus is no longer served");
            }
        });
        Ok(Self { path, task })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the socket of the bus was not removed");
        }
    }
}

/// Bound inside a folder that nobody else can enter, and moved to its place when its mode is right: so nobody else can
/// connect in between, and a stale socket is replaced in one step.
fn bind(folder: &Path, path: &Path) -> Result<UnixListener> {
    let private = tempfile::Builder::new().prefix(".bus").rand_bytes(4).tempdir_in(folder)?;
    let first = private.path().join("s");
    let listener = UnixListener::bind(&first)?;
    fs::set_permissions(&first, fs::Permissions::from_mode(0o600))?;
    fs::rename(&first, path)?;
    Ok(listener)
}

async fn perform(State(transport): State<Transport>, Json(request): Json<Request>) -> impl IntoResponse {
    match request.perform(&transport).await {
        Ok(answer) => (StatusCode::OK, Json(answer)),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": error }))),
    }
}

/// The other end of the socket.
pub(crate) struct Client {
    http: reqwest::Client,
    path: PathBuf,
}

impl Client {
    /// Makes sure that somebody listens.
    pub(crate) async fn connect(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        UnixStream::connect(&path).await.map_err(|error| {
            anyhow!(
                "no `novella up` runs on the data folder {} ({}: {error}); start one, name its folder with --data DIR, \
                 or set NOVELLA_BUS__URL=amqp://user:password@host:5672/ for services on RabbitMQ",
                folder.display(),
                path.display()
            )
        })?;
        let http = reqwest::Client::builder().unix_socket(path.as_path()).build()?;
        Ok(Self { http, path })
    }

    pub(super) async fn ask(&self, request: &Request) -> Result<Value> {
        let lost = || format!("no answer on {}; does `novella up` still run?", self.path.display());
        let response = self.http.post("http://bus/").json(request).send().await.with_context(lost)?;
        let status = response.status();
        let text = response.text().await.with_context(lost)?;
        let answer = serde_json::from_str::<Value>(&text);
        match answer {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) if answer["error"].is_string() => bail!("{}", answer["error"].as_str().unwrap_or_default()),
            _ => bail!("{} answers {status}: {text}; is that `novella up` of another version?", self.path.display()),
        }
    }
}
