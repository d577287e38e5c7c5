//! Programs in Python that use openstacksdk, as people write them: each asserts on what it sees, and ends in an error if that
//! is wrong.

use crate::support::{
    cloud::{Cloud, Settings},
    openstackclient::OpenStack,
};

async fn run(cloud: &Cloud, program: &str) {
    let path = format!("{}/tests/it/sdk/{program}.py", env!("CARGO_MANIFEST_DIR"));
    OpenStack::of(cloud).await.python(&[&path]).await;
}

async fn a_program_leads_a_server_through_its_life(cloud: Cloud) {
    run(&cloud, "server").await;
    cloud.assert_claims_add_up().await;
    cloud.assert_ports_add_up().await;
}

async fn a_program_does_what_an_operator_does(cloud: Cloud) {
    run(&cloud, "operations").await;
    cloud.assert_claims_add_up().await;
}

async fn a_program_makes_reads_and_shares_images(cloud: Cloud) {
    run(&cloud, "images").await;
}

behaviours! {
    Settings::with_demo();
    a_program_leads_a_server_through_its_life,
    a_program_does_what_an_operator_does,
    a_program_makes_reads_and_shares_images,
}
