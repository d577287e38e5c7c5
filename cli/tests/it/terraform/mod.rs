//! The life of a network with a server on it as Terraform leads it: `provider.py`, `networking.py` and `compute.py` ask
//! what terraform-provider-openstack asks, `life.py` is the text that is applied, changed and destroyed.

use crate::support::{
    cloud::{Cloud, Settings},
    openstackclient::OpenStack,
};

const LIFE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/terraform/life.py");
pub const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBY5iFaGZScJ7EQtng2nd44v9hZbsjbTuJtisz3VQeGw me@here";

async fn terraform_applies_changes_and_destroys_without_drift(cloud: Cloud) {
    OpenStack::of(&cloud).await.python(&[LIFE, PUBLIC_KEY]).await;
    cloud.assert_claims_add_up().await;
    cloud.assert_ports_add_up().await;
}

behaviours! {
    Settings::with_demo();
    terraform_applies_changes_and_destroys_without_drift,
}
