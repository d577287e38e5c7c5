//! `novella bus grant` and `revoke`: users of the broker, one for each service and each compute host.

use anyhow::{Context, Result, bail};
use clap::Args;
use novella_common::config::SecretUrl;
use rand::distr::{Alphanumeric, SampleString};

use crate::{
    bus::{Grantee, Management, as_commands, dead_letters_policy, first_broker},
    config::Config,
    output,
};

/// How long a password is that is made up: letters and digits, so 190 bits.
const PASSWORD_LENGTH: usize = 32;
/// How many connections and channels a host may open: several times what it needs.
const HOST_LIMITS: (u32, u32) = (64, 1024);
/// Before a name, in capitals: the variable that holds its password.
const PASSWORD_VARIABLE: &str = "NOVELLA_BUS_PASSWORD";

#[derive(Debug, Args)]
pub(crate) struct GrantOptions {
    /// `api`, `scheduler` or `conductor`, for all services of that kind; or the name of a compute host
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Make up another password for users that are there already
    #[arg(long)]
    new_password: bool,
    /// Let them answer callers that use oslo.messaging, by the default exchange: with it a host reaches EVERY queue
    #[arg(long)]
    oslo_messaging: bool,
    /// Do nothing, and print commands for rabbitmqctl that do it
    #[arg(long)]
    print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeOptions {
    /// As for `novella bus grant`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Makes users, or brings those that are there up to date.
pub(crate) async fn grant(config: &Config, options: GrantOptions) -> Result<()> {
    let exchange = &config.bus.control_exchange;
    let grants = options.names.iter().map(|name| {
        let grantee = Grantee::named(name);
        let permissions = grantee.permissions(exchange);
        (grantee, if options.oslo_messaging { permissions.answers_oslo_messaging() } else { permissions })
    });
    if options.print {
        let vhost = virtual_host(&config.bus.url)?;
        let commands: Vec<String> = grants.map(|(grantee, allowed)| as_commands(&grantee, &allowed, &vhost)).collect();
        return output::print(&commands.join("\n"));
    }
    let management = management(config)?;
    let (policy, pattern, definition) = dead_letters_policy();
    management.set_policy(policy, &pattern, &definition).await?;
    for ((grantee, permissions), name) in grants.zip(&options.names) {
        let user = grantee.user();
        let there = management.has_user(&user).await?;
        let given = std::env::var(password_variable(name)).or_else(|_| std::env::var(PASSWORD_VARIABLE)).ok();
        let made_up = given.is_none() && (!there || options.new_password);
        let password =
            if made_up { Some(Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH)) } else { given };
        if let Some(password) = &password {
            management.put_user(&user, password).await?;
        }
        if let Grantee::Host(_) = grantee {
            let (connections, channels) = HOST_LIMITS;
            management.limit_user(&user, connections, channels).await?;
        }
        management.permit(&user, &permissions).await?;
        output::print(&match password {
            Some(password) if made_up => {
                format!("{name}: NOVELLA_BUS__URL={}", url_of(&config.bus.url, &user, &password)?)
            }
            Some(_) => format!("{name}: user {user}, with the given password"),
            None => format!("{name}: user {user}, with the password that it has"),
        })?;
    }
    Ok(())
}

/// Deletes users.
pub(crate) async fn revoke(config: &Config, options: RevokeOptions) -> Result<()> {
    let management = management(config)?;
    for name in &options.names {
        let user = Grantee::named(name).user();
        let deleted = management.delete_user(&user).await?;
        output::print(&format!("{name}: user {user} {}", if deleted { "deleted" } else { "is not there" }))?;
    }
    Ok(())
}

fn management(config: &Config) -> Result<Management> {
    if config.bus.url.expose().starts_with("memory:") {
        bail!("the bus of `novella up` is within its process, and has no users: set NOVELLA_BUS__URL to RabbitMQ's");
    }
    let Some(url) = &config.bus.management_url else {
        bail!(
            "users are made through RabbitMQ's management API: set bus.management_url \
             (NOVELLA_BUS__MANAGEMENT_URL=http://administrator:password@host:15672), or have the commands for rabbitmqctl \
             printed, with --print"
        );
    };
    Management::new(url, &config.bus.url)
}

/// `NOVELLA_BUS_PASSWORD_COMPUTE_1` for `compute-1`.
fn password_variable(name: &str) -> String {
    let name: String =
        name.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' }).collect();
    format!("{PASSWORD_VARIABLE}_{name}")
}

/// As its user reaches the bus: at the first of its brokers, if there are several.
fn url_of(bus: &SecretUrl, user: &str, password: &str) -> Result<String> {
    let mut url: reqwest::Url = first_broker(bus.expose()).parse().with_context(|| format!("bus.url {bus}"))?;
    if url.set_username(user).is_err() || url.set_password(Some(password)).is_err() {
        bail!("bus.url {bus} names no host");
    }
    Ok(url.into())
}

fn virtual_host(bus: &SecretUrl) -> Result<String> {
    let url: reqwest::Url = first_broker(bus.expose()).parse().with_context(|| format!("bus.url {bus}"))?;
    Ok(match url.path().trim_start_matches('/') {
        "" => "/".to_owned(),
        path => path.replace("%2f", "/").replace("%2F", "/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_url_is_the_bus_with_its_name_and_password() {
        let url = |bus: &str| url_of(&SecretUrl::new(bus), "compute.host-1", "pw").unwrap();
        assert_eq!(url("amqp://admin:x@h:5672/cloud"), "amqp://compute.host-1:pw@h:5672/cloud");
        assert_eq!(url("amqps://a:x@h1,a:x@h2/"), "amqps://compute.host-1:pw@h1/");
    }

    #[test]
    fn a_password_is_in_the_variable_of_its_name() {
        assert_eq!(password_variable("compute-1.example"), "NOVELLA_BUS_PASSWORD_COMPUTE_1_EXAMPLE");
    }
}
