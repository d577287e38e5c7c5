//! `novella bus`: what is on the bus, and what becomes of the messages that were set aside.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use novella_messaging::{DeadLetter, DeadLetterAction};
use serde_json::json;

use super::grant::{self, GrantOptions, RevokeOptions};
use crate::{
    GlobalOptions,
    bus::{Bus, Chosen, Disposed, Overview, known_queues},
    config::{Config, Flags},
    output::{self, Format},
};

/// How many dead letters are looked through, the oldest first: more than anybody has, and what memory holds.
const MOST_LETTERS: usize = 10_000;
/// So much of an id is shown, and is enough to name it by.
const SHORT_ID: usize = 8;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BusOptions {
    #[command(subcommand)]
    command: Option<BusCommand>,
    #[command(flatten)]
    show: ShowOptions,
}

#[derive(Debug, Subcommand)]
enum BusCommand {
    /// Show exchanges, queues with their messages and consumers, bindings, and the number of dead letters (the default)
    Show(ShowOptions),
    /// List the messages that were set aside, the oldest first: delivered in vain too often, or unreadable
    DeadLetters {
        /// How to print; JSON shows the whole messages
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Send dead letters again, to the queues they came from, as if they had never been delivered
    Retry(Selection),
    /// Delete dead letters
    Drop(Selection),
    /// Make a user of the broker for a service or a compute host, that may do what it does and no more; or bring its rights
    /// up to date
    ///
    /// The password of NAME is read from NOVELLA_BUS_PASSWORD_NAME (in capitals, with _ for what is neither a letter nor a
    /// digit), or else from NOVELLA_BUS_PASSWORD; if neither is set, a new user gets one that is made up and printed.
    Grant(GrantOptions),
    /// Delete such a user: the broker closes its connections
    Revoke(RevokeOptions),
}

#[derive(Debug, Args)]
struct ShowOptions {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Another queue to ask for, where not all can be listed (RabbitMQ without bus.management_url); repeatable
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,
}

#[derive(Debug, Args)]
struct Selection {
    /// Which, as `novella bus dead-letters` lists them: a number, or the first eight characters of an id or more
    #[arg(value_name = "N|ID", required_unless_present = "all", conflicts_with = "all")]
    which: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(global: &GlobalOptions, options: BusOptions) -> Result<()> {
    let (config, _) = Config::load(global, &Flags::default())?;
    let command = match options.command.unwrap_or(BusCommand::Show(options.show)) {
        BusCommand::Grant(options) => return grant::grant(&config, options).await,
        BusCommand::Revoke(options) => return grant::revoke(&config, options).await,
        command => command,
    };
    Bus::with(global, &config, async |bus: &Bus| match command {
        // Done without being on the bus.
        BusCommand::Grant(_) | BusCommand::Revoke(_) => Ok(()),
        BusCommand::Show(options) => show(bus, options).await,
        BusCommand::DeadLetters { format } => list(bus, format).await,
        BusCommand::Retry(selection) => dispose(bus, selection, DeadLetterAction::Resend, "sent again").await,
        BusCommand::Drop(selection) => dispose(bus, selection, DeadLetterAction::Discard, "deleted").await,
    })
    .await
}

async fn show(bus: &Bus, options: ShowOptions) -> Result<()> {
    let mut known = known_queues();
    known.extend(options.queue);
    let Overview { report, missing } = bus.overview(&known).await?;
    let dead = report.queues.iter().find(|queue| queue.name == DeadLetter::QUEUE);
    let dead = dead.map_or(0, |queue| queue.ready + queue.unacked.unwrap_or(0));
    if options.format != Format::Table {
        let mut shown = serde_json::to_value(&report)?;
        shown["dead_letters"] = json!(dead);
        shown["missing"] = json!(missing);
        return output::print_value(options.format, &shown);
    }
    let queues = report.queues.iter().map(|queue| {
        let unacked = queue.unacked.map_or("-".to_owned(), |count| count.to_string());
        [queue.name.clone(), queue.ready.to_string(), unacked, queue.consumers.to_string()]
    });
    let mut text = table(["Queue", "Ready", "Unacked", "Consumers"], queues);
    if report.complete {
        let exchanges = report.exchanges.iter().map(|exchange| [exchange.name.clone(), exchange.kind.clone()]);
        let bindings = report
            .bindings
            .iter()
            .map(|binding| [binding.exchange.clone(), binding.routing_key.clone(), binding.queue.clone()]);
        text = [table(["Exchange", "Type"], exchanges), text, table(["Exchange", "Routing_Key", "Queue"], bindings)]
            .join("\n\n");
    }
    text.push_str(&format!("\n\nDead letters: {dead}"));
    if dead > 0 {
        text.push_str("; `novella bus dead-letters` lists them");
    }
    if let Some(missing) = missing {
        text.push_str("\n\n");
        text.push_str(&missing);
    }
    output::print(&text)
}

fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    output::table(header.into_iter(), rows.map(Vec::from))
}

async fn list(bus: &Bus, format: Format) -> Result<()> {
    let letters = bus.dead_letters(MOST_LETTERS).await?;
    match format {
        Format::Json | Format::Yaml => output::print_value(format, &serde_json::to_value(&letters)?),
        Format::Table if letters.is_empty() => output::print("There are no dead letters."),
        Format::Table => {
            let rows = letters.iter().enumerate().map(|(index, letter)| {
                let what = letter.method.as_ref().or(letter.event_type.as_ref());
                [
                    (index + 1).to_string(),
                    letter.id.chars().take(SHORT_ID).collect(),
                    letter.time.chars().take("2026-11-20T17:26:49".len()).collect::<String>().replace('T', " "),
                    letter.queue.clone(),
                    what.cloned().unwrap_or_else(|| "-".to_owned()),
                    letter.request_id.clone().unwrap_or_else(|| "-".to_owned()),
                    letter.reason.clone(),
                ]
            });
            output::print(&table(["N", "ID", "Time", "Queue", "Method", "Request", "Reason"], rows))
        }
    }
}

async fn dispose(bus: &Bus, selection: Selection, action: DeadLetterAction, done: &str) -> Result<()> {
    let chosen = if selection.all {
        if bus.dead_letters(1).await?.is_empty() {
            return output::print("There are no dead letters.");
        }
        None
    } else {
        let letters = bus.dead_letters(MOST_LETTERS).await?;
        let mut chosen = Vec::new();
        for which in &selection.which {
            chosen.extend(find(&letters, which)?);
        }
        Some(chosen)
    };
    let Disposed { count, failed } = bus.dispose(chosen, action, MOST_LETTERS).await?;
    let letters = |count: usize| format!("{count} dead letter{}", if count == 1 { "" } else { "s" });
    output::print(&format!("{} {done}", letters(count)))?;
    if failed.is_empty() {
        return Ok(());
    }
    let lines = failed.iter().map(|letter| {
        let id: String = letter.id.chars().take(SHORT_ID).collect();
        format!("\n  {id}, of `{}`: {}", letter.queue, letter.reason)
    });
    bail!("{} could not be {done}:{}", letters(failed.len()), lines.collect::<String>())
}

/// The letter of a number; or those of an id, of which a fanout's copies have the same one.
fn find(letters: &[DeadLetter], which: &str) -> Result<Vec<Chosen>> {
    let unknown = || format!("there is no dead letter `{which}`; `novella bus dead-letters` lists those there are");
    if which.len() < SHORT_ID {
        let Ok(number) = which.parse::<usize>() else {
            bail!("`{which}` is neither a number nor at least the first {SHORT_ID} characters of an id");
        };
        return match number.checked_sub(1).and_then(|index| letters.get(index)) {
            Some(letter) => Ok(vec![Chosen::of(letter)]),
            None => bail!(unknown()),
        };
    }
    let found: Vec<&DeadLetter> = letters.iter().filter(|letter| letter.id.starts_with(which)).collect();
    match found.first() {
        None => bail!(unknown()),
        Some(first) if found.iter().any(|letter| letter.id != first.id) => {
            bail!("several ids begin with `{which}`: give more of it")
        }
        Some(_) => Ok(found.into_iter().map(Chosen::of).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str, queue: &str) -> DeadLetter {
        DeadLetter {
            id: id.into(),
            reason: String::new(),
            queue: queue.into(),
            time: String::new(),
            deliveries: 5,
            method: None,
            event_type: None,
            request_id: None,
            body: String::new(),
            cut: None,
            doubtful: false,
        }
    }

    #[test]
    fn a_dead_letter_is_found_by_its_number_or_its_id() {
        let letters = [letter("aaaaaaaa1", "q"), letter("aaaaaaaa2", "q"), letter("12345678f", "q")];
        let queues = |which: &str| find(&letters, which).map(|found| found.len());
        assert_eq!(find(&letters, "2").unwrap(), [Chosen::of(&letters[1])]);
        assert_eq!(find(&letters, "12345678").unwrap(), [Chosen::of(&letters[2])]);
        assert_eq!(queues("aaaaaaaa1").unwrap(), 1);
        for wrong in ["0", "4", "aaaa", "aaaaaaaa", "bbbbbbbbb"] {
            assert!(queues(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_copies_of_a_fanout_go_together() {
        let letters = [letter("aaaaaaaa1", "q1"), letter("aaaaaaaa1", "q2")];
        assert_eq!(find(&letters, "aaaaaaaa").unwrap().len(), 2);
        assert_eq!(find(&letters, "1").unwrap(), [Chosen::of(&letters[0])]);
    }
}
