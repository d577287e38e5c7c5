//! Remote consoles: `POST /servers/{id}/remote-consoles`, and the actions that asked for one until 2.5. No driver here has
//! one yet, so each is refused as Nova refuses a console that a hypervisor does not have.

use axum::response::Response;
use novella_rest::{ApiError, Microversion, Operation, Path, body, post, wrong};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{Request, policy, state::Api};

/// The last minor version with an action for each kind.
const ACTIONS_UNTIL: u16 = 5;

/// The operations.
pub(super) fn operations() -> Vec<Operation<Api>> {
    const ACTION: &str = "/servers/{server_id}/action";
    let actions = vec![
        post(ACTION, policy::REMOTE_CONSOLES, vnc).action("os-getVNCConsole"),
        post(ACTION, policy::REMOTE_CONSOLES, spice).action("os-getSPICEConsole"),
        post(ACTION, policy::REMOTE_CONSOLES, rdp).action("os-getRDPConsole"),
        post(ACTION, policy::REMOTE_CONSOLES, serial).action("os-getSerialConsole"),
    ];
    let mut operations: Vec<_> = actions.into_iter().map(|action| action.until(ACTIONS_UNTIL).status(400)).collect();
    operations.push(post("/servers/{server_id}/remote-consoles", policy::REMOTE_CONSOLES, create).since(6).status(400));
    operations
}

body! {
    /// `POST /servers/{id}/remote-consoles`.
    struct NewConsole in "remote_console" {
        protocol: Protocol = "protocol",
        kind: Kind = "type",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Vnc,
    Spice,
    Serial,
    Rdp,
    /// From 2.8 on.
    Mks,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Novnc,
    Xvpvnc,
    #[serde(rename = "spice-html5")]
    SpiceHtml5,
    Serial,
    #[serde(rename = "rdp-html5")]
    RdpHtml5,
    /// From 2.8 on.
    Webmks,
    /// From 2.99 on.
    SpiceDirect,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Novnc => "novnc",
            Self::Xvpvnc => "xvpvnc",
            Self::SpiceHtml5 => "spice-html5",
            Self::Serial => "serial",
            Self::RdpHtml5 => "rdp-html5",
            Self::Webmks => "webmks",
            Self::SpiceDirect => "spice-direct",
        }
    }

    fn is_known_to(self, version: Microversion) -> bool {
        match self {
            Self::Webmks => version.at_least(8),
            Self::SpiceDirect => version.at_least(99),
            _ => true,
        }
    }
}

async fn create(request: Request, Path(id): Path<String>, asked: NewConsole) -> Result<Response, ApiError> {
    let NewConsole { protocol, kind } = asked;
    if protocol == Protocol::Mks && request.version.before(8) {
        return Err(wrong("remote_console.protocol", &"mks".into(), "It is served from 2.8 on."));
    }
    if !kind.is_known_to(request.version) {
        return Err(wrong("remote_console.type", &kind.as_str().into(), "It is not one that this microversion has."));
    }
    unavailable(&request, &id, kind.as_str()).await
}

macro_rules! actions {
    ($($name:ident($body:ident in $key:literal: $($kind:literal)|+);)*) => {
        $(
            body! {
                #[doc = concat!("`", $key, "`.")]
                struct $body in $key {
                    kind: String = "type",
                }
            }

            async fn $name(request: Request, Path(id): Path<String>, asked: $body) -> Result<Response, ApiError> {
                match asked.kind.as_str() {
                    $($kind)|+ => unavailable(&request, &id, &asked.kind).await,
                    other => Err(wrong(
                        concat!($key, ".type"),
                        &other.into(),
                        concat!("It must be one of:" $(, " ", $kind)+, "."),
                    )),
                }
            }
        )*
    };
}

actions! {
    vnc(GetVnc in "os-getVNCConsole": "novnc" | "xvpvnc");
    spice(GetSpice in "os-getSPICEConsole": "spice-html5");
    rdp(GetRdp in "os-getRDPConsole": "rdp-html5");
    serial(GetSerial in "os-getSerialConsole": "serial");
}

/// # Errors
/// Always: 404 if there is no such server, 409 if it is on no host, 400 since no hypervisor has one.
async fn unavailable(request: &Request, id: &str, kind: &str) -> Result<Response, ApiError> {
    let instance = super::find(request, id).await?;
    if instance.host.is_none() {
        return Err(ApiError::Conflict(format!("Instance {id} is not ready")));
    }
    Err(ApiError::bad_request(format!("Unavailable console type {kind}.")))
}
