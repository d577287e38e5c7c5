//! How OpenStack's clients are told of a cloud: a `clouds.yaml`, or variables `OS_*`.

use std::path::Path;

use super::CloudName;

/// How the administrator of a cloud reaches it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub endpoint: &'a str,
    pub password: &'a str,
    /// With TLS: who has signed its certificate, if clients don't know that.
    pub cacert: Option<&'a Path>,
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
pub(crate) fn clouds_yaml(name: &CloudName, access: &Access<'_>) -> String {
    format!("clouds:\n{}", cloud_entry(name, access, 2))
}

/// Its entry in a `clouds.yaml`, each line after `indentation` spaces.
pub(super) fn cloud_entry(name: &CloudName, access: &Access<'_>, indentation: usize) -> String {
    let Access { endpoint, password, cacert } = access;
    // JSON strings are YAML strings; a name may look like a number, and a password may hold anything.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut lines = vec![
        format!("{}:", text(name.as_str())),
        "  auth:".to_owned(),
        format!("    auth_url: {endpoint}/identity/v3"),
        "    username: admin".to_owned(),
        format!("    password: {}", text(password)),
        "    project_name: admin".to_owned(),
        "    user_domain_id: default".to_owned(),
        "    project_domain_id: default".to_owned(),
        "  region_name: RegionOne".to_owned(),
        "  identity_api_version: 3".to_owned(),
    ];
    lines.extend(cacert.map(|path| format!("  cacert: {}", text(&path.display().to_string()))));
    lines.iter().map(|line| format!("{:indentation$}{line}\n", "")).collect()
}
