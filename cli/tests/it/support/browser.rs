//! A real browser without a window, driven by its WebDriver: Debian's `chromium` and `chromium-driver`.
//!
//! The crates for WebDriver bring a second library of time; what a test needs of the protocol is ten requests.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cloud::{LIMIT, wait_for};

/// What a WebDriver names an element by.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    http: reqwest::Client,
    /// The session's address.
    session: String,
    driver: Child,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver with all processes of the browser.
        if let Some(group) = i32::try_from(self.driver.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Starts one, with a window of this size that is not shown.
    pub async fn start((width, height): (u32, u32), dark: bool) -> Self {
        let port = novella_testing::free_port();
        let profile = TempDir::with_prefix("novella-browser-").unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver; on Debian it is in the package chromium-driver");
        let mut browser = Self {
            http: reqwest::Client::new(),
            session: format!("http://127.0.0.1:{port}"),
            driver,
            _profile: profile,
        };
        let status = format!("{}/status", browser.session);
        wait_for("chromedriver", async || browser.http.get(&status).send().await.is_ok()).await;
        let data = browser._profile.path().join("profile");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--force-color-profile=srgb".to_owned(),
            // Whatever the page asked of another host would fail.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", data.display()),
        ];
        if dark {
            arguments.push("--force-dark-mode".to_owned());
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        } else {
            arguments.push("--blink-settings=preferredColorScheme=1".to_owned());
        }
        let options = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let made = browser.ask(Method::POST, "/session", &options).await;
        browser.session = format!("{}/session/{}", browser.session, made["sessionId"].as_str().unwrap());
        browser
    }

    async fn try_ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Value> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.session)).timeout(LIMIT);
        if method == Method::POST {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let good = answer.status().is_success();
        let mut answer: Value = answer.json().await.unwrap();
        if good { Ok(answer["value"].take()) } else { Err(answer["value"].take()) }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.try_ask(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("{path}: {} {}", error["error"], error["message"]))
    }

    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", &json!({"url": url})).await;
    }

    /// Runs a script in the page; a promise that it returns is waited for.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        self.ask(Method::POST, "/execute/sync", &json!({"script": script, "args": arguments})).await
    }

    async fn find(&self, selector: &str) -> Option<String> {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.try_ask(Method::POST, "/element", &query).await.ok()?;
        Some(found[ELEMENT].as_str().unwrap().to_owned())
    }

    /// Waits for an element.
    pub async fn see(&self, selector: &str) {
        let begun = Instant::now();
        while self.find(selector).await.is_none() {
            assert!(begun.elapsed() < LIMIT, "there is no {selector} in:\n{}", self.text("body").await);
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    }

    /// Waits for this text in the first element of this selector.
    pub async fn see_text(&self, selector: &str, text: &str) {
        let begun = Instant::now();
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        loop {
            let seen = self.run(script, json!([selector])).await;
            if seen.as_str().unwrap().contains(text) {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "no '{text}' in {selector}: {seen}");
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    }

    pub async fn text(&self, selector: &str) -> String {
        let text = self.run("return document.querySelector(arguments[0])?.innerText ?? ''", json!([selector])).await;
        text.as_str().unwrap().to_owned()
    }

    /// Clicks as a person does: on what can be seen. What is drawn anew meanwhile is looked for again.
    pub async fn click(&self, selector: &str) {
        let begun = Instant::now();
        loop {
            if let Some(element) = self.find(selector).await {
                match self.try_ask(Method::POST, &format!("/element/{element}/click"), &json!({})).await {
                    Ok(_) => return,
                    Err(error) => assert!(begun.elapsed() < LIMIT, "{selector}: {error}"),
                }
            }
            assert!(begun.elapsed() < LIMIT, "there is no {selector} in:\n{}", self.text("body").await);
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    }

    /// Types into a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        self.see(selector).await;
        let element = self.find(selector).await.unwrap();
        self.ask(Method::POST, &format!("/element/{element}/clear"), &json!({})).await;
        self.ask(Method::POST, &format!("/element/{element}/value"), &json!({"text": text})).await;
    }

    /// Presses keys where the focus is.
    pub async fn press(&self, keys: &str) {
        let press = |kind: &str, key: char| json!({"type": kind, "value": key.to_string()});
        let actions: Vec<Value> = keys.chars().flat_map(|key| [press("keyDown", key), press("keyUp", key)]).collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask(Method::POST, "/actions", &body).await;
    }

    /// What the browser has complained about: scripts that broke, what the page's policy forbids.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.ask(Method::POST, "/se/log", &json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// A picture of the window (WebP, of which files are small).
    pub async fn picture(&self, file: &Path) {
        let parameters = json!({"cmd": "Page.captureScreenshot", "params": {"format": "webp", "quality": 70}});
        let picture = self.ask(Method::POST, "/goog/cdp/execute", &parameters).await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}
