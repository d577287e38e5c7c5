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

#[contract(topic = "t", version = "1.0")]
trait Service {
    #[rpc(call)]
    async fn show(&self, ctx: Context, id: u32) -> Result<String, No>;

    #[rpc(cast)]
    async fn create(&self, ctx: Context, name: String) -> Result<(), No>;
}

struct Forgetful;

impl Service for Forgetful {
    async fn show(&self, _ctx: Context, id: u32) -> Result<String, No> {
        Ok(id.to_string())
    }
}

struct Mistaken;

impl Service for Mistaken {
    async fn show(&self, _ctx: Context, id: String) -> Result<String, No> {
        Ok(id)
    }

    async fn create(&self, _ctx: Context, _name: String) -> Result<String, No> {
        Err(No::No)
    }
}

struct Stranger;

fn main() {
    ServiceEndpoint::new(std::sync::Arc::new(Stranger));
}
