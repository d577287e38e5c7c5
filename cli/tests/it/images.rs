//! The bytes of images in a real process: on their way, in its memory, and after its end; and the Image API alone.

use std::{process::Stdio, time::Duration};

use novella_common::sql;
use novella_testing::python;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    cloud::{Cloud, PASSWORD, Settings, free_address, wait_for},
    process::Process,
};

const MIB: usize = 1 << 20;

/// A client of the Image API that sends and takes bytes as they come.
struct Images {
    address: String,
    token: String,
    http: reqwest::Client,
}

impl Images {
    async fn of(cloud: &Cloud) -> Self {
        let domain = json!({"id": "default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": domain, "password": PASSWORD}}},
            "scope": {"project": {"name": "admin", "domain": domain}},
        }});
        let http = reqwest::Client::new();
        let answer = http.post(format!("{}/identity/v3/auth/tokens", cloud.endpoint)).json(&body).send().await.unwrap();
        let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
        Self { address: cloud.endpoint.trim_start_matches("http://").to_owned(), token, http }
    }

    /// The same, by another process.
    fn at(&self, address: &str) -> Self {
        Self { address: address.to_owned(), token: self.token.clone(), http: self.http.clone() }
    }

    async fn queued(&self) -> String {
        let body = json!({"name": "large", "disk_format": "raw", "container_format": "bare"});
        let request = self.http.post(format!("http://{}/image/v2/images", self.address)).json(&body);
        let image: Value = request.header("X-Auth-Token", &self.token).send().await.unwrap().json().await.unwrap();
        image["id"].as_str().unwrap().to_owned()
    }

    async fn get(&self, id: &str) -> Value {
        let request = self.http.get(format!("http://{}/image/v2/images/{id}", self.address));
        request.header("X-Auth-Token", &self.token).send().await.unwrap().json().await.unwrap()
    }

    /// A connection on which an upload of so many bytes has begun.
    async fn begin_upload(&self, id: &str, size: usize) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let (address, token) = (&self.address, &self.token);
        let head = format!(
            "PUT /image/v2/images/{id}/file HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {token}\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Uploads so many MiB, and returns the status line.
    async fn upload(&self, id: &str, mib: usize) -> String {
        let mut stream = self.begin_upload(id, mib * MIB).await;
        let piece = vec![7; MIB];
        for _ in 0..mib {
            stream.write_all(&piece).await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    /// Downloads an image, and returns how many bytes came.
    async fn download(&self, id: &str) -> usize {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let (address, token) = (&self.address, &self.token);
        let head = format!(
            "GET /image/v2/images/{id}/file HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut piece, mut came, mut head_ends) = (vec![0; MIB], 0, None);
        let mut beginning = Vec::new();
        loop {
            let read = stream.read(&mut piece).await.unwrap();
            if read == 0 {
                return came - head_ends.expect("an answer with a head");
            }
            came += read;
            if head_ends.is_none() {
                beginning.extend_from_slice(&piece[..read]);
                head_ends = beginning.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
            }
        }
    }
}

/// The most that was resident of a process since this was last called, in MiB.
fn peak_memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // Counts anew from now on.
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
    kib / 1024
}

/// The objects in the store of an embedded cloud.
fn stored(cloud: &Cloud) -> Vec<String> {
    let entries = std::fs::read_dir(cloud.data_folder().join("images")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Sixteen times what may be held.
const LARGE_MIB: usize = 512;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_image_comes_and_goes_without_being_held_in_memory() {
    let mut cloud = Cloud::embedded(Settings::default()).await;
    let images = Images::of(&cloud).await;
    // Once before, so that what a first upload needs is there.
    let small = images.queued().await;
    assert_eq!(images.upload(&small, 8).await, "HTTP/1.1 204 No Content");
    assert_eq!(images.download(&small).await, 8 * MIB);
    let process = cloud.process("up").id();
    let resident = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    let pages: usize = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    let before = pages * 4 / 1024;
    peak_memory(process);
    let id = images.queued().await;
    assert_eq!(images.upload(&id, LARGE_MIB).await, "HTTP/1.1 204 No Content");
    let uploading = peak_memory(process);
    assert!(uploading < before + 32, "{uploading} MiB while uploading, {before} MiB before");
    assert_eq!(images.download(&id).await, LARGE_MIB * MIB);
    let downloading = peak_memory(process);
    assert!(downloading < before + 32, "{downloading} MiB while downloading, {before} MiB before");
    assert_eq!(images.get(&id).await["size"], LARGE_MIB * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_process_was_killed_leaves_the_image_queued_and_no_bytes() {
    let lease = ("NOVELLA_IMAGE__UPLOAD_LEASE", "0.5".to_owned());
    let mut cloud = Cloud::embedded(Settings { environment: vec![lease], ..Settings::default() }).await;
    let images = Images::of(&cloud).await;
    let id = images.queued().await;
    let mut upload = images.begin_upload(&id, 64 * MIB).await;
    upload.write_all(&vec![7; 3 * MIB]).await.unwrap();
    wait_for("bytes in the store", async || {
        let folder = cloud.data_folder().join("images");
        std::fs::read_dir(folder).unwrap().any(|entry| entry.unwrap().metadata().unwrap().len() > 0)
    })
    .await;
    cloud.process("up").kill();
    assert_eq!(stored(&cloud).len(), 1);
    cloud.process("up").restart();
    cloud.wait_until_ready().await;
    wait_for("a queued image", async || images.get(&id).await["status"] == "queued").await;
    wait_for("an empty store", async || stored(&cloud).is_empty()).await;
    assert_eq!(images.upload(&id, 1).await, "HTTP/1.1 204 No Content");

    // So is one whose client goes in the middle, at once.
    let id = images.queued().await;
    let mut upload = images.begin_upload(&id, 64 * MIB).await;
    upload.write_all(&vec![7; 3 * MIB]).await.unwrap();
    wait_for("an upload", async || images.get(&id).await["status"] == "saving").await;
    drop(upload);
    wait_for("a queued image", async || images.get(&id).await["status"] == "queued").await;
    wait_for("one object", async || stored(&cloud).len() == 1).await;
}

/// Whoever is refused is told so, however much he has still to say.
#[tokio::test(flavor = "multi_thread")]
async fn who_uploads_in_vain_is_answered() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let images = Images::of(&cloud).await;
    let id = images.queued().await;
    assert_eq!(images.upload(&id, 1).await, "HTTP/1.1 204 No Content");
    for mib in [1, 2] {
        let mut stream = images.begin_upload(&id, mib * MIB).await;
        let piece = vec![7; MIB];
        for _ in 0..mib {
            // The other side need not take it all.
            let _ = stream.write_all(&piece).await;
        }
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 409", "{mib} MiB");
    }
}

/// A bucket of S3, as moto has it.
struct Bucket {
    server: std::process::Child,
    endpoint: String,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Bucket {
    async fn new() -> Self {
        let packages = ["moto[server]==5.1.22"];
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let environment = tokio::task::spawn_blocking(move || python::environment(folder, &packages)).await.unwrap();
        let address = free_address();
        let port = address.rsplit(':').next().unwrap();
        let mut command = std::process::Command::new(environment.join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", port]).stdout(Stdio::null()).stderr(Stdio::null());
        let bucket = Self { server: command.spawn().unwrap(), endpoint: format!("http://{address}") };
        let http = reqwest::Client::new();
        wait_for("a bucket", async || {
            http.put(format!("{}/bucket", bucket.endpoint))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        bucket
    }

    async fn keys(&self) -> usize {
        let list = reqwest::get(format!("{}/bucket?list-type=2", self.endpoint)).await.unwrap().text().await.unwrap();
        list.matches("<Key>images/").count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_kept_in_a_bucket() {
    let bucket = Bucket::new().await;
    let environment = vec![
        ("NOVELLA_IMAGE__STORE_URL", "s3://bucket/images".to_owned()),
        ("NOVELLA_IMAGE__S3_ENDPOINT", bucket.endpoint.clone()),
        ("NOVELLA_IMAGE__S3_ACCESS_KEY", "key".to_owned()),
        ("NOVELLA_IMAGE__S3_SECRET_KEY", "secret".to_owned()),
    ];
    let cloud = Cloud::embedded(Settings { environment, ..Settings::default() }).await;
    let images = Images::of(&cloud).await;
    let (id, empty) = (images.queued().await, images.queued().await);
    // Of several parts, and of none.
    assert_eq!(images.upload(&id, 20).await, "HTTP/1.1 204 No Content");
    assert_eq!(images.upload(&empty, 0).await, "HTTP/1.1 204 No Content");
    assert_eq!((images.download(&id).await, images.download(&empty).await, bucket.keys().await), (20 * MIB, 0, 2));
    let part = images.http.get(format!("http://{}/image/v2/images/{id}/file", images.address));
    let part =
        part.header("X-Auth-Token", &images.token).header("Range", "bytes=8388600-8388615").send().await.unwrap();
    assert_eq!(
        (part.status(), part.bytes().await.unwrap()),
        (reqwest::StatusCode::PARTIAL_CONTENT, vec![7; 16].into())
    );
    for id in [id, empty] {
        let deleted = images.http.delete(format!("http://{}/image/v2/images/{id}", images.address));
        assert_eq!(deleted.header("X-Auth-Token", &images.token).send().await.unwrap().status(), 204);
    }
    assert_eq!(bucket.keys().await, 0);
    // Without its store an upload fails, and the image is as it was.
    let id = images.queued().await;
    drop(bucket);
    assert_eq!(images.upload(&id, 1).await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(images.get(&id).await["status"], "queued");
}

async fn the_image_api_alone_serves_the_same_images(cloud: Cloud) {
    let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
    let management = free_address();
    let arguments = ["image", "--listen", &address, "--management", &management];
    let mut environment: std::collections::BTreeMap<String, String> =
        [("NOVELLA_DATABASE__URL".to_owned(), cloud.database_url().to_owned())].into();
    environment.insert("NOVELLA_IMAGE__STORE_URL".into(), format!("file://{}", cloud.images_folder().display()));
    let mut alone = Process::start("image", &arguments, &environment, None, folder.path());
    let http = reqwest::Client::new();
    wait_for("the Image API", async || {
        http.get(format!("http://{management}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let images = Images::of(&cloud).await;
    let other = images.at(&address);
    let id = other.queued().await;
    assert_eq!(other.upload(&id, 2).await, "HTTP/1.1 204 No Content");
    assert_eq!(images.get(&id).await["status"], "active");
    assert_eq!(images.download(&id).await, 2 * MIB);
    // It has nothing else.
    let answer =
        http.get(format!("http://{address}/compute/v2.1/servers")).header("X-Auth-Token", &images.token).send();
    assert_eq!(answer.await.unwrap().status(), 404);
    let client = cloud.client().await;
    let body = json!({"server": {"name": "s", "imageRef": id, "flavorRef": "1"}});
    let (status, server) = client.request(reqwest::Method::POST, "/servers", Some(&body)).await;
    assert_eq!(status, 202, "{server}");
    client.wait_for_status(server["server"]["id"].as_str().unwrap(), "ACTIVE").await;
    let rows: i64 = sql!("SELECT COUNT(*) FROM image_objects WHERE state = 'kept'")
        .fetch_one(&mut cloud.database().await.read().await.unwrap())
        .await
        .unwrap();
    assert_eq!(rows, 1);
    assert!(alone.terminate().success(), "{}", alone.log());
    tokio::time::timeout(Duration::from_secs(1), images.get(&id)).await.unwrap();
}

mod everywhere {
    use super::*;

    behaviours! {
        Settings::default();
        the_image_api_alone_serves_the_same_images,
    }
}
