use novella_messaging::contract;

#[contract(topic = "t", version = "1.1")]
trait Wrong {
    #[rpc(call)]
    async fn a_call_without_a_reply(&self, ctx: Context);

    #[rpc(call)]
    async fn a_call_that_cannot_fail(&self, ctx: Context) -> u8;

    #[rpc(call)]
    async fn a_call_with_an_alias(&self, ctx: Context) -> Result<u8>;

    #[rpc(cast)]
    async fn a_cast_without_a_result(&self, ctx: Context);

    #[rpc(cast)]
    async fn a_cast_with_a_reply(&self, ctx: Context) -> Result<u8, No>;

    #[rpc(fanout)]
    async fn a_fanout_with_a_reply(&self, ctx: Context) -> Result<Vec<u8>, No>;
}

fn main() {}
