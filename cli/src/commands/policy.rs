//! `novella policy`: which rules there are, what a file changes of them, and who may do what.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use novella_api::CLOUD;
use novella_common::RequestContext;
use novella_rest::{
    Named, Token,
    policy::{Caller, InForce, ROLES, SERVICE, Target},
};
use serde_json::{Value, json};

use crate::{
    GlobalOptions,
    client::{Client, Credentials},
    config::{Config, Flags},
    output::{self, Format},
    run::policies::{self, ServicePolicy},
};

/// That something is not granted.
const NOT_GRANTED: u8 = 1;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the rules in force: who each is granted to, and where that is from
    List(ListOptions),
    /// Say whether somebody may do what a rule is about; exit status 1 if not
    Check(CheckOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// Only the rules of this service: compute, identity, image
    #[arg(long, value_name = "TYPE")]
    service: Option<String>,
    /// Only rules that a file changes or adds
    #[arg(long)]
    changed: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// The rule: os_compute_api:servers:create
    #[arg(value_name = "RULE")]
    rule: String,
    /// The service that the rule is of, where several have one of this name
    #[arg(long, value_name = "TYPE")]
    service: Option<String>,
    /// Ask for the user of `novella env` or a clouds.yaml, whose token says all the following
    #[arg(long, conflicts_with_all = ["role", "project", "user", "domain", "system"])]
    me: bool,
    /// A role that is held; those that it implies in every cloud are held with it
    #[arg(long, value_name = "NAME")]
    role: Vec<String>,
    /// The id of the project that the token is for
    #[arg(long, value_name = "ID", conflicts_with_all = ["domain", "system"])]
    project: Option<String>,
    /// The user's id
    #[arg(long, value_name = "ID", default_value = "somebody")]
    user: String,
    /// The id of the domain that the token is for
    #[arg(long, value_name = "ID", conflicts_with = "system")]
    domain: Option<String>,
    /// The token is for the system
    #[arg(long)]
    system: bool,
    /// The id of the project that the thing belongs to that is asked about [default: the thing is one's own]
    #[arg(long, value_name = "ID")]
    of_project: Option<String>,
    /// The id of the user that it belongs to
    #[arg(long, value_name = "ID")]
    of_user: Option<String>,
    /// The id of the domain that it belongs to
    #[arg(long, value_name = "ID")]
    of_domain: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(global: &GlobalOptions, command: PolicyCommand) -> Result<ExitCode> {
    let (config, _) = Config::load(global, &Flags::default())?;
    let mut policies = policies::load(&config)?;
    // It has Compute's.
    policies.retain(|of| of.service.kind != CLOUD.kind);
    match command {
        PolicyCommand::List(options) => list(&policies, &options).map(|()| ExitCode::SUCCESS),
        PolicyCommand::Check(options) => check(global, policies, options).await,
    }
}

/// Where a rule is from.
fn source(of: &ServicePolicy<'_>, rule: &InForce) -> String {
    match (of.file, rule.line) {
        (Some(file), Some(line)) => format!("{}:{line}", file.display()),
        _ => "default".to_owned(),
    }
}

fn row(of: &ServicePolicy<'_>, rule: &InForce) -> Value {
    json!({
        "service": of.service.kind,
        "rule": rule.name,
        "check": rule.check.to_string(),
        "default": rule.default.as_ref().map(ToString::to_string),
        "source": source(of, rule),
        "permits": Some(rule.permits).filter(|permits| !permits.is_empty()),
    })
}

fn list(policies: &[ServicePolicy<'_>], options: &ListOptions) -> Result<()> {
    let of_service = |of: &&ServicePolicy<'_>| options.service.as_deref().is_none_or(|kind| of.service.kind == kind);
    let chosen: Vec<_> = policies.iter().filter(of_service).collect();
    if chosen.is_empty() {
        let kinds: Vec<_> = policies.iter().map(|of| of.service.kind).collect();
        bail!("there is no such service; there are {}", kinds.join(", "));
    }
    let rules = chosen.iter().flat_map(|of| of.policy.rules().iter().map(move |rule| (*of, rule)));
    let rules = rules.filter(|(_, rule)| !options.changed || rule.line.is_some());
    let rows: Vec<Value> = rules.map(|(of, rule)| row(of, rule)).collect();
    let mut columns = vec![("Service", "service"), ("Rule", "rule"), ("Granted to", "check"), ("Source", "source")];
    if options.changed {
        columns.insert(3, ("Default", "default"));
    }
    output::print_list(options.format, &columns, &rows)
}

async fn check(
    global: &GlobalOptions,
    mut policies: Vec<ServicePolicy<'_>>,
    options: CheckOptions,
) -> Result<ExitCode> {
    let rule = options.rule.as_str();
    policies.retain(|of| options.service.as_deref().is_none_or(|kind| of.service.kind == kind));
    policies.retain(|of| of.policy.rule(rule).is_some());
    let kinds: Vec<_> = policies.iter().map(|of| of.service.kind).collect();
    if kinds.len() > 1 {
        bail!("{} have a rule '{rule}' each; say which by --service", kinds.join(" and "));
    }
    let of = policies.pop().with_context(|| format!("there is no rule '{rule}'; `novella policy list` has all"))?;
    let mut answer = of.policy.rule(rule).map(|in_force| row(&of, in_force)).unwrap_or_default();

    let token = match options.me {
        true => Token::from_document(Client::connect(&Credentials::find(global)?).await?.token_document())?,
        false => token(&options),
    };
    let (user, project, domain) =
        (options.of_user.as_deref(), options.of_project.as_deref(), options.of_domain.as_deref());
    let caller = Caller::new(RequestContext::internal(), Arc::new(token), Arc::new(of.policy));
    let token = caller.token().context("a caller without a token")?;
    let target = match user.or(project).or(domain) {
        Some(_) => Target { user, project, domain, ..Target::default() },
        None => Target {
            user: Some(&token.user.id),
            project: token.project.as_ref().map(|project| project.id.as_str()),
            domain: token.domain.as_ref().map(|domain| domain.id.as_str()),
            ..Target::default()
        },
    };
    let granted = caller.may(rule, target);
    answer["granted"] = granted.into();
    answer["roles"] = caller.roles.join(", ").into();
    let columns = [
        ("granted", "granted"),
        ("rule", "rule"),
        ("permits", "permits"),
        ("granted to", "check"),
        ("source", "source"),
        ("roles", "roles"),
    ];
    output::print_one(options.format, &columns, &answer)?;
    Ok(if granted { ExitCode::SUCCESS } else { ExitCode::from(NOT_GRANTED) })
}

/// The token that the options describe.
fn token(options: &CheckOptions) -> Token {
    let named = |id: &str| Named { id: id.to_owned(), name: id.to_owned() };
    let mut roles: Vec<Named> = Vec::new();
    for role in &options.role {
        let implied = ROLES.iter().filter(|implied| **implied != SERVICE).skip_while(|implied| *implied != role);
        for role in [role.as_str()].into_iter().chain(implied.copied()) {
            if roles.iter().all(|held| held.name != role) {
                roles.push(named(role));
            }
        }
    }
    let now = jiff::Timestamp::now();
    let domain = named("default");
    Token {
        user: named(&options.user),
        user_domain: domain.clone(),
        password_expires_at: None,
        project: options.project.as_deref().map(named),
        project_domain: options.project.is_some().then_some(domain),
        is_domain: false,
        domain: options.domain.as_deref().map(named),
        system: options.system,
        roles,
        methods: Vec::new(),
        audit_ids: Vec::new(),
        application_credential: None,
        trust: None,
        issued_at: now,
        expires_at: now,
    }
}
