//! How OpenStack's clients are told of a cloud: a `clouds.yaml`, or variables `OS_*`.

use std::path::Path;

use super::CloudName;

/// How a cloud is reached, and what its administrator logs in with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    /// Such as `http://127.0.0.1:8774`.
    pub endpoint: &'a str,
    /// Of the user `admin`.
    pub password: &'a str,
    /// With TLS: who has signed its certificate, if clients don't know that.
    pub cacert: Option<&'a Path>,
}

/// The same with what the user `demo` logs in with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logins<'a> {
    pub access: Access<'a>,
    pub demo_password: &'a str,
}

/// The variables that OpenStack's clients read.
pub(crate) fn variables(access: &Access<'_>) -> Vec<(&'static str, String)> {
    let Access { endpoint, password, cacert } = access;
    let mut variables = vec![
        ("OS_AUTH_TYPE", "password".to_owned()),
        ("OS_AUTH_URL", format!("{endpoint}/identity/v3")),
        ("OS_USERNAME", "admin".to_owned()),
        ("OS_PASSWORD", (*password).to_owned()),
        ("OS_PROJECT_NAME", "admin".to_owned()),
        ("OS_USER_DOMAIN_ID", "default".to_owned()),
        ("OS_PROJECT_DOMAIN_ID", "default".to_owned()),
        ("OS_REGION_NAME", "RegionOne".to_owned()),
        ("OS_IDENTITY_API_VERSION", "3".to_owned()),
    ];
    variables.extend(cacert.map(|path| ("OS_CACERT", path.display().to_string())));
    variables
}

/// The same as a file for a shell to read.
pub(crate) fn openrc(access: &Access<'_>) -> String {
    variables(access).iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
}

/// As a shell reads it back, whatever is in it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A `clouds.yaml` for the cloud.
pub(crate) fn clouds_yaml(name: &CloudName, logins: &Logins<'_>) -> String {
    format!("clouds:\n{}", cloud_entries(name, logins, 2))
}

/// The names of its entries: for the administrator, and for the user `demo`.
pub(super) fn entry_names(name: &CloudName) -> [String; 2] {
    [name.to_string(), format!("{name}-demo")]
}

/// Its entries in a `clouds.yaml`, each line after `indentation` spaces.
pub(super) fn cloud_entries(name: &CloudName, logins: &Logins<'_>, indentation: usize) -> String {
    // JSON strings are YAML strings; a name may look like a number, and a password may hold anything.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let Logins { access: Access { endpoint, password, cacert }, demo_password } = logins;
    let users = [("admin", password), ("demo", demo_password)];
    let entries = entry_names(name).into_iter().zip(users).flat_map(|(entry, (user, password))| {
        let mut lines = vec![
            format!("{}:", text(&entry)),
            "  auth:".to_owned(),
            format!("    auth_url: {endpoint}/identity/v3"),
            format!("    username: {user}"),
            format!("    password: {}", text(password)),
            format!("    project_name: {user}"),
            "    user_domain_id: default".to_owned(),
            "    project_domain_id: default".to_owned(),
            "  region_name: RegionOne".to_owned(),
            "  identity_api_version: 3".to_owned(),
        ];
        lines.extend(cacert.map(|path| format!("  cacert: {}", text(&path.display().to_string()))));
        lines
    });
    entries.map(|line| format!("{:indentation$}{line}\n", "")).collect()
}
