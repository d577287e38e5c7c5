//! The page, in a real browser: what a person sees and does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    browser::Browser,
    cloud::{Cloud, PASSWORD, Settings, wait_for},
    process::novella,
};

const DESKTOP: (u32, u32) = (1280, 900);

/// A migration that takes long enough to be watched.
fn watchable() -> Settings {
    Settings {
        environment: vec![
            ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "60".into()),
            ("NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB", "20".into()),
        ],
        ..Settings::default()
    }
}

/// The rules that axe knows, from npm; kept beside the built program.
fn axe() -> String {
    const PACKAGE: &str = "axe-core@4.10.3";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE);
    let script = folder.join("package/axe.min.js");
    if !script.is_file() {
        let own = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).current_dir(own.path()).output();
            let output = output.unwrap_or_else(|error| panic!("{program}: {error}; on Debian, install npm and tar"));
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let archive = run("npm", &["pack", PACKAGE, "--silent"]);
        run("tar", &["-xzf", archive.trim()]);
        // Of several tests at once one is first.
        if std::fs::rename(own.path(), &folder).is_err() {
            assert!(script.is_file());
        }
    }
    std::fs::read_to_string(script).unwrap()
}

/// Holds what is shown now against axe's rules.
async fn is_accessible(browser: &Browser, axe: &str, page: &str) {
    let script = format!(
        "{axe}; return window.axe.run(document, {{resultTypes: ['violations']}}).then((found) => found.violations\
         .filter((it) => ['serious', 'critical'].includes(it.impact))\
         .map((it) => `${{it.id}}: ${{it.nodes.map((node) => node.target.join(' ') + ' ' + node.failureSummary).join('; ')}}`))"
    );
    let found = browser.run(&script, json!([])).await;
    assert_eq!(found, json!([]), "{page}");
}

pub(crate) async fn log_in(browser: &Browser, cloud: &Cloud) {
    // As whoever types the address of the API into a browser.
    browser.open(&cloud.endpoint).await;
    browser.fill("#user", "admin").await;
    browser.fill("#password", PASSWORD).await;
    browser.click(".login button[type=submit]").await;
    browser.see("#log-out").await;
    browser.see_text(".stream", "live").await;
}

/// Opens a page by its link.
pub(crate) async fn go(browser: &Browser, page: &str) {
    browser.click(&format!("#nav-{page}")).await;
    browser.see(&format!("#nav-{page}[aria-current]")).await;
}

/// Makes servers by the dialog.
async fn create(browser: &Browser, name: &str, count: &str) {
    browser.click("#create").await;
    browser.fill("#new-name", name).await;
    browser.fill("#new-count", count).await;
    browser.click("#new-submit").await;
}

/// Sends a message that nobody understands.
fn poison(cloud: &Cloud) {
    let mut command = novella();
    command.args(["rpc", "cast", "compute.host-1", "no_such_method", "key=<i>value</i>"]);
    if cloud.is_embedded() {
        command.arg("--data").arg(cloud.data_folder());
    } else {
        command.env("NOVELLA_BUS__URL", cloud.bus_url());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn a_person_makes_moves_and_understands_servers(cloud: Cloud) {
    const NAME: &str = "<img src=x onerror=alert(1)>";
    let (browser, axe) = (Browser::start(DESKTOP, false).await, axe());
    browser.open(&cloud.endpoint).await;
    browser.see(".login").await;
    is_accessible(&browser, &axe, "log in").await;
    browser.fill("#user", "admin").await;
    browser.fill("#password", "wrong").await;
    browser.click(".login button[type=submit]").await;
    browser.see_text("#login-problem", "No user of this name").await;
    // The browser notes that too.
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|it| it.contains("401")), "{complaints:?}");
    log_in(&browser, &cloud).await;
    browser.see_text("main", "There is no server yet").await;
    is_accessible(&browser, &axe, "no servers").await;

    // What a person has called a server is text, whatever it looks like.
    create(&browser, NAME, "1").await;
    browser.see_text(".list-body .c-status", "ACTIVE").await;
    assert_eq!(browser.text(".list-body .c-name").await, NAME);
    is_accessible(&browser, &axe, "servers").await;
    let client = cloud.client().await;
    let listed = client.get("/servers/detail?all_tenants=1").await;
    let server = &listed["servers"][0];
    let (id, source) = (server["id"].as_str().unwrap(), server["OS-EXT-SRV-ATTR:host"].as_str().unwrap());

    browser.click(".list-body .c-name a").await;
    browser.see(".story[href*=req-]").await;
    browser.click("#console-read").await;
    browser.see("pre").await;
    is_accessible(&browser, &axe, "a server").await;
    // It runs: it can be stopped and not started.
    browser.see("[data-action=os-stop]").await;
    assert_eq!(browser.run("return document.querySelectorAll('[data-action=os-start]').length", json!([])).await, 0);

    // On its way it is a block between two hosts, and then on another one.
    browser.see("[data-action=os-migrateLive]").await;
    browser.click("[data-action=os-migrateLive]").await;
    go(&browser, "hosts").await;
    // Noted by the page itself: it goes on while it is looked at.
    let note = "
        window.parts = [];
        const note = () => {
            const track = document.querySelector('.flight-track');
            if (track) window.parts.push(Number(track.dataset.part));
        };
        new MutationObserver(note).observe(document.body, {attributes: true, childList: true, subtree: true});
        note();";
    browser.run(note, json!([])).await;
    browser.see(".flight").await;
    is_accessible(&browser, &axe, "hosts").await;
    wait_for("the end of the migration", async || {
        browser.run("return document.querySelector('.flight-track')", json!([])).await.is_null()
    })
    .await;
    let parts = browser.run("return window.parts", json!([])).await;
    let mut seen: Vec<i64> = parts.as_array().unwrap().iter().filter_map(Value::as_i64).collect();
    seen.dedup();
    assert!(seen.len() >= 4 && seen.iter().any(|part| (1..100).contains(part)), "the block was seen at {seen:?}");
    let on_another = format!(".host:not([data-host={source}]) [data-server='{id}']");
    browser.see(&on_another).await;

    // The story of the migration, from the server's history.
    go(&browser, "servers").await;
    browser.click(".list-body .c-name a").await;
    browser.see_text("tbody tr:first-child", "live-migration").await;
    browser.click("tbody tr:first-child .story").await;
    browser.see("[data-kind=event][data-span=live_migration]").await;
    browser.click("[data-kind=event][data-span=pre_live_migration]").await;
    browser.see_text(".beside", "compute").await;
    // And from what each service has kept of it: a message's time on the bus, and the method that was done for it.
    browser.see("[data-kind=request][data-span^='POST ']").await;
    browser.see("[data-kind=queue][data-span='live_migrate_instance waits']").await;
    browser.click("[data-kind=handler][data-span=live_migrate_instance]").await;
    browser.see_text(".beside", "conductor").await;
    is_accessible(&browser, &axe, "a story").await;

    go(&browser, "services").await;
    browser.see_text("[data-service='nova-compute.host-2']", "up").await;
    is_accessible(&browser, &axe, "services").await;

    poison(&cloud);
    go(&browser, "bus").await;
    browser.see(".letter").await;
    browser.see_text(".letter", "no_such_method").await;
    browser.see("[data-queue='compute.host-1']").await;
    is_accessible(&browser, &axe, "the bus").await;
    browser.click(".letter [data-action=retry]").await;
    browser.see_text("#toast", "sent again").await;
    browser.see_text("main", "No dead letter").await;
    // Nobody understands it the second time either.
    browser.see_text(".letter", "no_such_method").await;
    browser.click(".letter [data-action=drop]").await;
    browser.click("dialog .danger").await;
    browser.see_text("main", "No dead letter").await;

    // By keys alone.
    browser.press("gs").await;
    browser.see("#nav-servers[aria-current]").await;

    let elsewhere = browser
        .run(
            "return performance.getEntriesByType('resource').map((it) => it.name).filter((it) => !it.startsWith(arguments[0]))",
            json!([cloud.endpoint]),
        )
        .await;
    assert_eq!(elsewhere, json!([]));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.click("#log-out").await;
    browser.see(".login").await;
    assert_eq!(browser.run("return sessionStorage.getItem('novella.session')", json!([])).await, Value::Null);
}

behaviours! { watchable(); a_person_makes_moves_and_understands_servers }

#[tokio::test(flavor = "multi_thread")]
async fn who_is_logged_out_comes_back_to_the_same_page_and_a_broken_stream_is_said_and_caught_up() {
    let mut cloud = Cloud::embedded(Settings::default()).await;
    let browser = Browser::start(DESKTOP, false).await;
    log_in(&browser, &cloud).await;
    go(&browser, "hosts").await;
    browser.see(".host").await;
    // The token ends elsewhere.
    let token = browser.run("return JSON.parse(sessionStorage.getItem('novella.session')).token", json!([])).await;
    let token = token.as_str().unwrap();
    let gone = reqwest::Client::new()
        .delete(format!("{}/identity/v3/auth/tokens", cloud.endpoint))
        .header("x-auth-token", token)
        .header("x-subject-token", token)
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 204);
    browser.see(".login").await;
    browser.fill("#user", "admin").await;
    browser.fill("#password", PASSWORD).await;
    browser.click(".login button[type=submit]").await;
    browser.see(".host").await;
    assert!(browser.run("return location.hash", json!([])).await == "#/hosts");

    go(&browser, "servers").await;
    create(&browser, "before", "1").await;
    browser.see_text(".list-body", "before").await;
    cloud.process("up").kill();
    browser.see_text(".stream", "not connected").await;
    cloud.process("up").restart();
    cloud.wait_until_ready().await;
    let client = cloud.client().await;
    client.create("meanwhile", json!({})).await;
    browser.see_text(".stream", "live").await;
    browser.see_text(".list-body", "meanwhile").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_is_offered_nothing_else() {
    let cloud = Cloud::embedded(Settings::default()).await;
    let client = cloud.client().await;
    client.create("theirs", json!({})).await;
    make_reader(&cloud).await;
    let browser = Browser::start((390, 800), true).await;
    browser.open(&cloud.endpoint).await;
    browser.fill("#user", "looker").await;
    browser.fill("#password", PASSWORD).await;
    browser.click(".login button[type=submit]").await;
    browser.see_text(".list-body", "theirs").await;
    for missing in ["#create", "#nav-hosts", "#nav-services", "#nav-bus", "#every", ".c-host"] {
        let found = browser.run("return document.querySelectorAll(arguments[0]).length", json!([missing])).await;
        assert_eq!(found, 0, "{missing}");
    }
    browser.click(".list-body .c-name a").await;
    browser.see(".story[href*=req-]").await;
    assert_eq!(browser.run("return document.querySelectorAll('.actions button').length", json!([])).await, 0);
    // Dark, on a narrow screen.
    is_accessible(&browser, &axe(), "a server in the dark").await;
    let wider = browser.run("return document.documentElement.scrollWidth > window.innerWidth", json!([])).await;
    assert_eq!(wider, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_servers_only_those_are_drawn_that_can_be_seen() {
    let environment = vec![
        ("NOVELLA_COMPUTE__FAKE__VCPUS", "512".into()),
        ("NOVELLA_COMPUTE__FAKE__MEMORY_MB", "1048576".into()),
        ("NOVELLA_NETWORK__QUOTA_PORT", "-1".into()),
    ];
    let cloud = Cloud::embedded(Settings { environment, ..Settings::default() }).await;
    let client = cloud.client().await;
    let mut body = client.create_body("many", json!({})).await;
    body["server"]["min_count"] = 500.into();
    body["server"]["max_count"] = 500.into();
    let browser = Browser::start(DESKTOP, false).await;
    log_in(&browser, &cloud).await;
    // While they are built, their rows change some thousand times.
    for _ in 0..2 {
        let asked = client.request(reqwest::Method::POST, "/servers", Some(&body)).await;
        assert_eq!(asked.0, 202, "{}", asked.1);
    }
    browser.see_text(".count", "1000").await;
    let drawn = || browser.run("return document.querySelectorAll('.list-body .list-row').length", json!([]));
    assert!(drawn().await.as_i64().unwrap() < 60);
    // To the end: frames go on meanwhile.
    let script = "document.querySelector('.list').scrollTop = 1e9; let left = 60; return new Promise((done) => { \
                  const step = () => { left -= 1; if (left) requestAnimationFrame(step); else done(left); }; step(); })";
    assert_eq!(browser.run(script, json!([])).await, 0);
    browser.see(".list-row[aria-rowindex='1001']").await;
    assert!(drawn().await.as_i64().unwrap() < 60);
    // A search finds one among them, whatever is drawn.
    browser.fill("input[type=search]", "many-317").await;
    browser.see_text(".count", "2 of 1000").await;
}

/// A user who may look at the project `admin`.
pub(crate) async fn make_reader(cloud: &Cloud) {
    let client = cloud.client().await;
    let ask = async |method: &str, path: &str, body: Value| {
        let request = reqwest::Client::new()
            .request(method.parse().unwrap(), format!("{}/identity/v3{path}", cloud.endpoint))
            .header("x-auth-token", client.token_text());
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json::<Value>().await.unwrap_or(Value::Null)
    };
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let user = ask("POST", "/users", json!({"user": {"name": "looker", "password": PASSWORD}})).await;
    let project = ask("GET", "/projects?name=admin", Value::Null).await;
    let role = ask("GET", "/roles?name=reader", Value::Null).await;
    let (user, project, role) = (id(&user["user"]), id(&project["projects"][0]), id(&role["roles"][0]));
    ask("PUT", &format!("/projects/{project}/users/{user}/roles/{role}"), Value::Null).await;
}

/// Pictures of each page for the documents, light and dark: `docs/pictures/page`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/pictures"]
async fn pictures_of_each_page_are_taken() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    for (dark, tone) in [(false, "light"), (true, "dark")] {
        let environment = vec![
            ("NOVELLA_COMPUTE__FAKE__BANDWIDTH_MIB", "24".into()),
            ("NOVELLA_COMPUTE__FAKE__DIRTY_RATE_MIB", "5".into()),
            ("NOVELLA_COMPUTE__FAKE__VCPUS", "4".into()),
            ("NOVELLA_COMPUTE__FAKE__MEMORY_MB", "4096".into()),
            ("NOVELLA_COMPUTE__FAKE__DISK_GB", "40".into()),
        ];
        let cloud = Cloud::embedded(Settings { environment, ..Settings::default() }).await;
        let browser = Browser::start((1280, 940), dark).await;
        let picture = async |page: &str| {
            // What moves comes to rest.
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            browser.picture(&folder.join(format!("page-{page}-{tone}.webp"))).await;
        };
        browser.open(&cloud.endpoint).await;
        browser.see(".login").await;
        picture("login").await;
        log_in(&browser, &cloud).await;
        for (name, count) in [("web", "6"), ("database", "2"), ("worker", "9")] {
            create(&browser, name, count).await;
            browser.see_text(".list-body", name).await;
        }
        wait_for("running servers", async || {
            let script = "return [...document.querySelectorAll('.list-body .badge')].filter((it) => it.innerText.includes('ACTIVE')).length";
            browser.run(script, json!([])).await.as_i64().unwrap() >= 12
        })
        .await;
        poison(&cloud);
        let client = cloud.client().await;
        let listed = client.get("/servers/detail?all_tenants=1").await;
        let ids: Vec<&str> =
            listed["servers"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
        for id in &ids[..2] {
            client.live_migrate(id, None).await;
        }
        picture("servers").await;
        go(&browser, "hosts").await;
        browser.see(".flight").await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        picture("hosts").await;
        go(&browser, "bus").await;
        browser.see(".letter").await;
        picture("bus").await;
        go(&browser, "services").await;
        browser.see("[data-service]").await;
        picture("services").await;
        client.wait_for_status(ids[0], "ACTIVE").await;
        browser.open(&format!("{}/ui/#/servers/{}", cloud.endpoint, ids[0])).await;
        browser.see("tbody tr:nth-child(2)").await;
        picture("server").await;
        browser.click("tbody tr:first-child .story").await;
        browser.click("[data-kind=event][data-span=live_migration]").await;
        picture("request").await;
    }
}
