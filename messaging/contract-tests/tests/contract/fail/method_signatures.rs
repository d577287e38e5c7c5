use novella_messaging::contract;

#[contract(topic = "t", version = "1.1")]
trait Wrong {
    #[rpc(call)]
    fn not_async(&self, ctx: Context) -> Result<u8, No>;

    #[rpc(call)]
    async fn has_a_body(&self, ctx: Context) -> Result<u8, No> {
        Ok(1)
    }

    #[rpc(call)]
    async fn generic<T>(&self, ctx: Context, value: T) -> Result<u8, No>;

    #[rpc(call)]
    async fn mutable(&mut self, ctx: Context) -> Result<u8, No>;

    #[rpc(call)]
    async fn no_context(&self) -> Result<u8, No>;

    #[rpc(call)]
    async fn another_first_argument(&self, name: String) -> Result<u8, No>;

    #[rpc(call)]
    async fn borrows(&self, ctx: Context, name: &str) -> Result<u8, No>;

    #[rpc(call)]
    async fn takes_apart(&self, ctx: Context, (one, other): (u8, u8)) -> Result<u8, No>;

    #[rpc(call)]
    async fn opaque(&self, ctx: Context, name: impl Into<String>) -> Result<u8, No>;
}

fn main() {}
