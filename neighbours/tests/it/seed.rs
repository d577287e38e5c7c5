//! What a new cloud has of networks, as servers see it that name none.

use novella_common::networks::NetworkFilter;

use crate::{
    suite::world::{Rest, World},
    support::On,
};

#[tokio::test]
async fn a_server_of_any_project_that_names_no_network_has_one_to_be_put_on() {
    let world = World::here(On::Sqlite).await;
    let database = &world.components().database;
    novella_network::seed::run(database, world.admin.project()).await.unwrap();
    let networks = async |rest: &Rest| {
        let of_project = NetworkFilter::OfProject(rest.project().to_owned());
        let found = world.networks.networks(rest.caller(), of_project).await.unwrap();
        found.into_iter().map(|network| network.name).collect::<Vec<_>>()
    };
    assert_eq!(networks(&world.admin).await, ["private"]);
    assert_eq!(networks(&world.demo).await, ["private"]);
}
