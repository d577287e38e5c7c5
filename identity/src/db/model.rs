//! Who and what there is.

use jiff::Timestamp;
use novella_common::table;
use serde_json::{Map, Value};

/// A project, or a domain, which is a project without one above it.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// 32 hexadecimal digits, as Keystone's are; of the first domain `default`.
    pub id: String,
    /// Unique in its domain; of a domain, among the domains.
    pub name: String,
    /// `None` for a domain.
    pub domain_id: Option<String>,
    /// The project above it; at the top the domain, and `None` for a domain.
    pub parent_id: Option<String>,
    /// Whether it is a domain.
    pub is_domain: bool,
    /// Free text.
    pub description: Option<String>,
    /// Whether tokens are given out for it.
    pub enabled: bool,
    /// Words that it can be found by.
    pub tags: Vec<String>,
    /// `immutable`.
    pub options: Map<String, Value>,
    /// What clients gave beside that.
    pub extra: Map<String, Value>,
}

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// 32 hexadecimal digits, as Keystone's are.
    pub id: String,
    /// The domain.
    pub domain_id: String,
    /// Unique in its domain.
    pub name: String,
    /// Whether tokens are given out to it.
    pub enabled: bool,
    /// The project that a token is for if its request says nothing of it.
    pub default_project_id: Option<String>,
    /// argon2id in PHC form; `None`: no log-in by password.
    pub password_hash: Option<String>,
    /// When the password was set.
    pub password_created_at: Option<Timestamp>,
    /// From when on the password is no longer taken.
    pub password_expires_at: Option<Timestamp>,
    /// Such as `lock_password`.
    pub options: Map<String, Value>,
    /// What clients gave beside that: `email`, `description`.
    pub extra: Map<String, Value>,
}

/// Users who have roles together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The domain.
    pub domain_id: String,
    /// Unique in its domain.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// What clients gave beside that.
    pub extra: Map<String, Value>,
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Unique among those of its domain, or among those of the whole cloud.
    pub name: String,
    /// `None`: of the whole cloud. One of a domain is no more than what it implies: it is in no token.
    pub domain_id: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// `immutable`.
    pub options: Map<String, Value>,
    /// What clients gave beside that.
    pub extra: Map<String, Value>,
}

table! {
    Project in "projects", key text "id";
    id,
    name,
    domain_id,
    parent_id,
    is_domain,
    description,
    enabled,
    tags as Json,
    options as Json,
    extra as Json,
}

table! {
    User in "users", key text "id";
    id,
    domain_id,
    name,
    enabled,
    default_project_id,
    password_hash,
    password_created_at,
    password_expires_at,
    options as Json,
    extra as Json,
}

table! {
    Group in "user_groups", key text "id";
    id,
    domain_id,
    name,
    description,
    extra as Json,
}

table! {
    Role in "roles", key text "id";
    id,
    name,
    domain_id,
    description,
    options as Json,
    extra as Json,
}

impl Project {
    /// A new project at the top of a domain.
    #[must_use]
    pub fn new(name: &str, domain_id: &str) -> Self {
        Self {
            id: super::new_id(),
            name: name.to_owned(),
            domain_id: Some(domain_id.to_owned()),
            parent_id: Some(domain_id.to_owned()),
            is_domain: false,
            description: Some(String::new()),
            enabled: true,
            tags: Vec::new(),
            options: Map::new(),
            extra: Map::new(),
        }
    }

    /// The domain that it is in, or is.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.domain_id.as_deref().unwrap_or(&self.id)
    }
}

impl User {
    /// A new user without a password.
    #[must_use]
    pub fn new(name: &str, domain_id: &str) -> Self {
        Self {
            id: super::new_id(),
            domain_id: domain_id.to_owned(),
            name: name.to_owned(),
            enabled: true,
            default_project_id: None,
            password_hash: None,
            password_created_at: None,
            password_expires_at: None,
            options: Map::new(),
            extra: Map::new(),
        }
    }

    /// Whether an option is set.
    pub(crate) fn has_option(&self, name: &str) -> bool {
        self.options.get(name) == Some(&Value::Bool(true))
    }
}
