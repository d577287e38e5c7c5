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

async fn wrong_argument(client: &ServiceClient, ctx: &Context) {
    let _ = client.show(ctx, "seven").await;
}

async fn missing_argument(client: &ServiceClient, ctx: &Context) {
    let _ = client.show(ctx).await;
}

async fn unknown_method(client: &ServiceClient, ctx: &Context) {
    let _ = client.delete(ctx, 7).await;
}

async fn a_casts_reply(client: &ServiceClient, ctx: &Context) -> String {
    client.create(ctx, "name".into()).await.unwrap()
}

async fn another_services_error(client: &ServiceClient, ctx: &Context) -> Result<String, std::io::Error> {
    client.show(ctx, 7).await
}

fn main() {}
