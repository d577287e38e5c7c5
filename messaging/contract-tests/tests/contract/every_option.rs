use novella_messaging::{RpcError, contract};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Context {
    request_id: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
pub(crate) enum No {
    No,
}

impl RpcError for No {
    const MODULE: &'static str = "no";
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct What;

impl novella_messaging::contract::NamesMethod for What {
    fn method(&self) -> &'static str {
        "shine"
    }

    fn since(&self) -> novella_messaging::Version {
        novella_messaging::Version::new(2, 2)
    }

    fn is_method(name: &str) -> bool {
        name == "shine"
    }
}

/// Every option at once.
#[contract(topic = "t", version = "2.3", namespace = "n")]
pub(crate) trait Service: std::fmt::Debug {
    #[rpc(call, since = "2.1", timeout_seconds = 120)]
    async fn show(&self, ctx: Context, id: u32) -> Result<Option<Vec<String>>, No>;

    /// The context may be called so too, and be unused.
    #[rpc(cast)]
    async fn create(&self, _context: Context, name: String) -> std::result::Result<(), No>;

    /// One method here, several on the wire.
    #[rpc(cast, named_by = what)]
    async fn act(&self, ctx: Context, what: What) -> Result<(), No>;

    /// Names that the generated code uses itself, or that are keywords.
    #[rpc(fanout, since = "2.0")]
    async fn r#move(&self, ctx: Context, list: u8, description: u8, request: u8, r#type: u8) -> Result<(), No>;
}

#[derive(Debug)]
struct Manager;

impl Service for Manager {
    async fn show(&self, _ctx: Context, id: u32) -> Result<Option<Vec<String>>, No> {
        Ok(Some(vec![id.to_string()]))
    }

    async fn create(&self, _context: Context, _name: String) -> Result<(), No> {
        Ok(())
    }

    async fn act(&self, _ctx: Context, _what: What) -> Result<(), No> {
        Ok(())
    }

    // An `async fn` may also be written as what it stands for.
    fn r#move(&self, _: Context, _: u8, _: u8, _: u8, _: u8) -> impl Future<Output = Result<(), No>> + Send {
        std::future::ready(Err(No::No))
    }
}

async fn use_it(client: &ServiceClient, ctx: &Context) -> Result<(), novella_messaging::CallError<No>> {
    let _: Option<Vec<String>> = client.server("host-1").show(ctx, 7).await?;
    client.create(ctx, "name".into()).await?;
    client.act(ctx, What).await?;
    client.r#move(ctx, 1, 2, 3, 4).await?;
    Ok(())
}

#[test]
fn every_option_at_once_makes_sense() {
    let _ = ServiceEndpoint::new(std::sync::Arc::new(Manager));
    assert_eq!((ServiceClient::TOPIC, ServiceClient::VERSION.to_string()), ("t", "2.3".to_owned()));
    let _ = use_it;
}
