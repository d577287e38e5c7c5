use novella_messaging::contract;

#[contract(topic = "t", version = "1.1")]
trait Wrong {
    async fn no_kind(&self, ctx: Context) -> Result<u8, No>;

    #[rpc]
    async fn empty(&self, ctx: Context) -> Result<u8, No>;

    #[rpc(call, cast)]
    async fn two_kinds(&self, ctx: Context) -> Result<(), No>;

    #[rpc(call, retries = 3)]
    async fn unknown_option(&self, ctx: Context) -> Result<u8, No>;

    #[rpc(call, since = "1.2")]
    async fn newer_than_the_contract(&self, ctx: Context) -> Result<u8, No>;

    #[rpc(call, since = "0.9")]
    async fn of_another_major(&self, ctx: Context) -> Result<u8, No>;

    #[rpc(cast, timeout_seconds = 5)]
    async fn a_timeout_nobody_waits_for(&self, ctx: Context) -> Result<(), No>;

    #[rpc(call, timeout_seconds = 0)]
    async fn no_time(&self, ctx: Context) -> Result<u8, No>;
}

fn main() {}
