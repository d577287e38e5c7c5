use novella_messaging::{RpcError, contract};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Context {
    request_id: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
enum No {
    No,
}

impl RpcError for No {
    const MODULE: &'static str = "no";
}

struct Secret;

#[derive(Debug, thiserror::Error)]
#[error("local")]
struct Local;

#[contract(topic = "t", version = "1.0")]
trait Service {
    #[rpc(call)]
    async fn an_argument_that_cannot_travel(&self, ctx: Context, secret: Secret) -> Result<(), No>;

    #[rpc(call)]
    async fn a_result_that_cannot_travel(&self, ctx: Context) -> Result<Secret, No>;

    #[rpc(call)]
    async fn an_error_that_cannot_travel(&self, ctx: Context) -> Result<(), Local>;
}

fn main() {}
