//! What only the Networking of the same process promises.

use crate::{
    suite::world::{World, ids},
    support::On,
};

struct Here(World);

impl Here {
    async fn new(on: On) -> Self {
        Self(World::here(on).await)
    }
}

novella_testing::on_both! {
    /// Times in answers over HTTP are in seconds, so that nobody elsewhere can know the order.
    async fn ports_are_described_in_the_order_in_which_they_were_asked_for(here: Here) {
        let world = here.0;
        let (network, _) = world.demo.network("net", "10.1.0.0/24").await;
        let wanted = world.wanted("host-1", &[network.as_str(); 12]);
        let info = world.networks.allocate(&wanted).await.unwrap();
        assert_eq!(world.described(wanted.instance).await, info);
        let again = world.networks.allocate(&wanted).await.unwrap();
        assert_eq!(ids(&again), ids(&info));
    }
}
