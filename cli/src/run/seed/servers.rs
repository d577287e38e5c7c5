//! What the Compute API makes of a seed file: flavors, key pairs and servers, by the requests that anybody would send.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    SeedFile,
    file::{SeedFlavor, SeedServer},
};
use crate::client::{Client, Credentials};

/// How long the servers may take to be built: many times what they take by default.
const TIMEOUT: Duration = Duration::from_secs(600);

/// How often it is asked how far they are.
const INTERVAL: Duration = Duration::from_millis(100);

/// Makes what is not there yet, and waits until the servers are ACTIVE.
///
/// # Errors
/// The API refuses something, or a server goes into ERROR.
pub(crate) async fn create(file: &SeedFile, credentials: &Credentials) -> Result<()> {
    if file.flavors.is_empty() && file.keypairs.is_empty() && file.servers.is_empty() {
        return Ok(());
    }
    let client = Client::connect(credentials).await?;
    if !file.flavors.is_empty() {
        let present = names(&client.get("/flavors?is_public=None").await?["flavors"]);
        for flavor in file.flavors.iter().filter(|flavor| !present.contains(&flavor.name)) {
            add_flavor(&client, flavor).await.with_context(|| format!("the seed's flavor '{}'", flavor.name))?;
        }
    }
    if !file.keypairs.is_empty() {
        let list = client.get("/os-keypairs").await?;
        let present = list["keypairs"].as_array().into_iter().flatten().map(|entry| entry["keypair"].clone());
        let present = names(&present.collect());
        for pair in file.keypairs.iter().filter(|pair| !present.contains(&pair.name)) {
            let body = json!({ "keypair": { "name": pair.name, "public_key": pair.public_key } });
            client.post("/os-keypairs", &body).await.with_context(|| format!("the seed's key pair '{}'", pair.name))?;
        }
    }
    for servers in &file.servers {
        let credentials = Credentials { project: servers.project.clone(), ..credentials.clone() };
        add_servers(&credentials, servers).await.with_context(|| format!("the seed's server '{}'", servers.name))?;
    }
    Ok(())
}

async fn add_flavor(client: &Client, flavor: &SeedFlavor) -> Result<()> {
    let SeedFlavor { name, id, vcpus, ram, disk } = flavor;
    let id = id.as_deref().unwrap_or("auto");
    let body = json!({ "flavor": { "name": name, "id": id, "vcpus": vcpus, "ram": ram, "disk": disk } });
    client.post("/flavors", &body).await?;
    Ok(())
}

async fn add_servers(credentials: &Credentials, servers: &SeedServer) -> Result<()> {
    let client = Client::connect(credentials).await?;
    let flavor = named(&client.get("/flavors?is_public=None").await?["flavors"], "flavor", &servers.flavor)?;
    let image = named(&client.get_of("image", "/v2/images?limit=1000").await?["images"], "image", &servers.image)?;
    let wanted: Vec<String> = match servers.count {
        1 => vec![servers.name.clone()],
        count => (1..=count).map(|number| format!("{}-{number}", servers.name)).collect(),
    };
    let mut present = BTreeSet::new();
    client.each_server("", &mut |server| present.extend(server["name"].as_str().map(str::to_owned))).await?;
    let missing: Vec<&String> = wanted.iter().filter(|name| !present.contains(*name)).collect();
    make_room(&client, &flavor, missing.len()).await?;
    for name in missing {
        let mut server = json!({
            "name": name, "flavorRef": flavor, "imageRef": image, "networks": "none", "metadata": servers.metadata,
        });
        if let Some(key) = &servers.key_name {
            server["key_name"] = json!(key);
        }
        client.post("/servers", &json!({ "server": server })).await?;
    }
    until_active(&client, &wanted).await
}

/// Raises the project's quotas by what is put in: that comes on top of what its users may have. A quota that is none stays
/// so.
async fn make_room(client: &Client, flavor: &str, servers: usize) -> Result<()> {
    if servers == 0 {
        return Ok(());
    }
    let flavor = client.get(&format!("/flavors/{flavor}")).await?["flavor"].clone();
    let path = format!("/os-quota-sets/{}", client.project());
    let present = client.get(&path).await?["quota_set"].clone();
    let servers = i64::try_from(servers).context("so many servers can't be counted")?;
    let size = |name: &str| flavor[name].as_i64().unwrap_or(0);
    let mut raised = json!({ "force": true });
    for (name, size) in [("instances", 1), ("cores", size("vcpus")), ("ram", size("ram"))] {
        if let Some(limit) = present[name].as_i64().filter(|limit| *limit >= 0) {
            raised[name] = json!(limit + size * servers);
        }
    }
    client.put(&path, &json!({ "quota_set": raised })).await.context("making room in the project's quotas")
}

async fn until_active(client: &Client, wanted: &[String]) -> Result<()> {
    let begun = Instant::now();
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    loop {
        let (mut building, mut failed) = (0, None);
        client
            .each_server("", &mut |server| {
                if !wanted.contains(server["name"].as_str().unwrap_or_default()) {
                    return;
                }
                match server["status"].as_str() {
                    Some("BUILD") => building += 1,
                    Some("ERROR") => failed = Some(server.clone()),
                    _ => {}
                }
            })
            .await?;
        if let Some(server) = failed {
            bail!("{} is in ERROR: {}", server["name"], server["fault"]["message"].as_str().unwrap_or("(no fault)"));
        }
        if building == 0 {
            return Ok(());
        }
        if begun.elapsed() > TIMEOUT {
            bail!("{building} servers are still in BUILD after {} s", TIMEOUT.as_secs());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|item| Some(item["name"].as_str()?.to_owned())).collect()
}

/// The id of the thing with this name.
fn named(list: &Value, kind: &str, name: &str) -> Result<String> {
    let mut found = list.as_array().into_iter().flatten().filter(|item| item["name"] == name);
    let id = found.next().and_then(|item| item["id"].as_str());
    id.map(str::to_owned).with_context(|| format!("there is no {kind} '{name}'"))
}
