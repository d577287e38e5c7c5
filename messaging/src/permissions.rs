//! What a broker's user needs for what it does, and no more: RabbitMQ's permissions, derived from that.
//!
//! RabbitMQ permits by regular expressions over the names of queues and exchanges, without a difference between the two:
//! *configure* is to declare and delete, *write* to send to an exchange and to bind a queue, *read* to consume, purge, and
//! bind to an exchange. On a topic exchange the routing keys can be permitted besides, of what is sent and of what is bound.
//!
//! What must not depend on permissions of routing keys: where messages go that this user sends. RabbitMQ sends a message to
//! the keys in its headers `CC` and `BCC` as well, and does not check those. So a user that must not command may not write
//! to the exchange of the commands at all; each kind of message has an exchange of its own.

use crate::target::Target;
use crate::transport::{DEAD_LETTERS, DEAD_LETTERS_EXCHANGE, REPLY_EXCHANGE};

/// What one user may do. Begins with nothing; each method adds what one thing takes.
///
/// ```
/// use novella_messaging::Permissions;
///
/// // A host takes what is sent to it by its name, answers, and reports.
/// let host = Permissions::default().serves_alone("cloud", &Permissions::exactly("compute.host-1")).sends("cloud_reports");
/// assert_eq!(host.read(), r"^(cloud|(again_)?compute\.host\-1)$");
/// // All others may have the topic's queue as well.
/// let conductor = Permissions::default().serves("cloud", "conductor").calls("cloud").listens(&["cloud_reports"], "reports");
/// assert!(conductor.write().contains("novella_replies"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    configure: Vec<String>,
    write: Vec<String>,
    read: Vec<String>,
    topics: Vec<TopicPermission>,
}

/// Which routing keys of a topic exchange a user may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPermission {
    /// The exchange.
    pub exchange: String,
    /// A regular expression: the keys it may send with; none if empty.
    pub write: String,
    /// A regular expression: the keys it may bind a queue to; none if empty.
    pub read: String,
}

/// A marker's name after that of its queue.
const OF_A_MARKER: &str = "_[0-9A-Fa-f-]+_[0-9]+";

impl Permissions {
    /// The regular expression for this name and no other.
    #[must_use]
    pub fn exactly(name: &str) -> String {
        name.chars().fold(String::new(), |mut escaped, character| {
            if !(character.is_alphanumeric() || character == '_') {
                escaped.push('\\');
            }
            escaped.push(character);
            escaped
        })
    }

    /// Serves what is sent through the control exchange to the queues that `queues`, a regular expression, names, and
    /// nothing that it would share with others: see
    /// [`RpcServerBuilder::shared_if_permitted`](crate::RpcServerBuilder::shared_if_permitted). It answers calls, and sets
    /// aside messages of its own queues.
    #[must_use]
    pub fn serves_alone(mut self, exchange: &str, queues: &str) -> Self {
        self.read.push(Self::exactly(exchange));
        // Of what is sent to the others it must not get a copy.
        self.topics.push(TopicPermission {
            exchange: exchange.to_owned(),
            write: String::new(),
            read: format!("^{queues}$"),
        });
        self.topics.push(TopicPermission {
            exchange: DEAD_LETTERS_EXCHANGE.to_owned(),
            write: format!("^{queues}$"),
            read: String::new(),
        });
        self.serves_queues(queues)
    }

    /// Serves a topic: its queue, those of its servers, and its fanout.
    #[must_use]
    pub fn serves(mut self, exchange: &str, topic: &str) -> Self {
        let (exchange, fanout) = (Self::exactly(exchange), Self::exactly(&Target::fanout_exchange(topic)));
        let topic = Self::exactly(topic);
        self.configure.extend([exchange.clone(), fanout.clone()]);
        self.read.extend([exchange, fanout]);
        self.serves_queues(&format!(r"{topic}(\..+|_fanout_[0-9a-f]+)?"))
    }

    fn serves_queues(mut self, queues: &str) -> Self {
        let own = format!("(again_)?{queues}");
        self.configure.extend([own.clone(), format!("begun_{queues}{OF_A_MARKER}")]);
        self.write.extend([own.clone(), Self::exactly(REPLY_EXCHANGE), Self::exactly(DEAD_LETTERS_EXCHANGE)]);
        self.read.push(own);
        self
    }

    /// Calls and casts through the control exchange, to whomever, and hears the answers.
    #[must_use]
    pub fn calls(mut self, exchange: &str) -> Self {
        let (exchange, replies) = (Self::exactly(exchange), Self::exactly(REPLY_EXCHANGE));
        let own = "reply_[0-9a-f]{32}".to_owned();
        self.configure.extend([exchange.clone(), replies.clone(), own.clone()]);
        self.write.extend([exchange, own.clone()]);
        self.read.extend([replies, own]);
        self
    }

    /// Sends through this exchange, notifications for instance; whoever listens has to declare their queue.
    #[must_use]
    pub fn sends(mut self, exchange: &str) -> Self {
        self.write.push(Self::exactly(exchange));
        self
    }

    /// Listens to a topic's notifications, from these exchanges, and sets aside what can't be read. Declares the queue for
    /// that, also for those who may not.
    #[must_use]
    pub fn listens(mut self, exchanges: &[&str], topic: &str) -> Self {
        let queues = format!("{}\\.[a-z]+", Self::exactly(topic));
        let letters = [DEAD_LETTERS, DEAD_LETTERS_EXCHANGE].map(Self::exactly);
        let exchanges = exchanges.iter().map(|exchange| Self::exactly(exchange));
        self.configure.extend(exchanges.clone().chain(letters.clone()));
        self.configure.extend([queues.clone(), format!("begun_{queues}{OF_A_MARKER}")]);
        self.write.extend(letters.into_iter().chain([queues.clone()]));
        self.read.extend(exchanges.chain([queues, Self::exactly(DEAD_LETTERS_EXCHANGE)]));
        self
    }

    /// Looks at what was set aside, deletes it, and sends commands among it again: those it may give with
    /// [`Permissions::calls`]. What else is set aside it can't send again, and it sets nothing aside itself.
    #[must_use]
    pub fn settles_dead_letters(mut self) -> Self {
        self.read.push(Self::exactly(DEAD_LETTERS));
        self
    }

    /// Answers callers that use oslo.messaging, whose reply queues are reached by the default exchange alone. Who may write
    /// to that reaches **every** queue, commands included.
    #[must_use]
    pub fn answers_oslo_messaging(mut self) -> Self {
        self.write.push(Self::exactly("amq.default"));
        self
    }

    /// What it may declare and delete, as one regular expression.
    #[must_use]
    pub fn configure(&self) -> String {
        any_of(&self.configure)
    }

    /// What it may send to and bind.
    #[must_use]
    pub fn write(&self) -> String {
        any_of(&self.write)
    }

    /// What it may consume and bind to.
    #[must_use]
    pub fn read(&self) -> String {
        any_of(&self.read)
    }

    /// By routing key; an exchange that is not in it is not restricted by them.
    #[must_use]
    pub fn topics(&self) -> &[TopicPermission] {
        &self.topics
    }
}

fn any_of(names: &[String]) -> String {
    let mut each: Vec<&str> = Vec::new();
    for name in names {
        if !each.contains(&name.as_str()) {
            each.push(name);
        }
    }
    // Of none: the empty expression permits nothing.
    if each.is_empty() { String::new() } else { format!("^({})$", each.join("|")) }
}
