//! Where the servers of this run are: the variables that `./test` sets.

use reqwest::Url;

/// Broker without a virtual host: `amqp://user:password@host:port`.
pub(crate) const AMQP_URL: &str = "NOVELLA_TEST_AMQP_URL";
/// The broker's management API: `http://user:password@host:port`.
pub(crate) const RABBITMQ_API: &str = "NOVELLA_TEST_RABBITMQ_API";
/// A PostgreSQL database from which others can be created: `postgres://user:password@host:port/postgres`.
pub(crate) const POSTGRES_URL: &str = "NOVELLA_TEST_POSTGRES_URL";

/// The URL in a variable.
///
/// # Panics
/// If the variable is missing or holds no URL; the text says to use `./test`.
pub(crate) fn url(variable: &str) -> Url {
    let Ok(value) = std::env::var(variable) else {
        panic!(
            "{variable} is not set: this test needs a real server. Run it by `./test`, which starts one, or keep \
             servers running with `./test --servers --env FILE` and `source FILE` first; `./test --embedded` leaves \
             such tests out"
        );
    };
    match value.parse() {
        Ok(url) => url,
        // The value is not shown: it holds a password.
        Err(error) => {
            panic!("{variable} is not a URL ({error}): set it as ./test does, SCHEME://USER:PASSWORD@HOST:PORT")
        }
    }
}

/// The URL of a database on the PostgreSQL of this run; of the one from which others are created if there is no name.
///
/// # Panics
/// As [`url`] does.
pub(crate) fn postgres_url(name: Option<&str>) -> String {
    let mut url = url(POSTGRES_URL);
    if let Some(name) = name {
        url.set_path(name);
    }
    url.into()
}
