//! A process's part in handing faults on: all processes know the same faults, and of each other.
//!
//! Each listens before it says hello, so of any two the one that says it later is heard by the other. Hello is said again
//! and again: a process that was lost for a while is found again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use novella_messaging::{CallError, MessagingError, RpcServer, Target, Transport};
use parking_lot::Mutex;

use super::{
    Fault, Faults,
    rpcapi::{
        FaultControl, FaultControlClient, FaultControlEndpoint, FaultError, FaultId, Fired, KnownFault, ListedFault,
        Listing, Participant, Reached, Shared,
    },
};
use crate::{RequestContext, ids::Incarnation, service::Shutdown};

/// How often a process says that it is there.
const HELLO: Duration = Duration::from_secs(10);
/// How long a stopping process finishes what it was asked.
const GRACE: Duration = Duration::from_secs(1);

/// Serves [`FaultControl`] for one process.
#[derive(Debug)]
pub struct FaultService;

impl FaultService {
    /// Starts it under the process's name, which no other of them has. It ends when `shutdown` is requested.
    ///
    /// # Errors
    /// The bus can't be used.
    pub async fn start(
        transport: &Transport,
        process: &str,
        faults: Faults,
        shutdown: &Shutdown,
    ) -> Result<(), MessagingError> {
        let client = FaultControlClient::new(transport);
        let me = Participant { process: process.to_owned(), incarnation: Incarnation::random() };
        let manager = Manager {
            me: me.clone(),
            faults,
            others: Arc::default(),
            client: client.clone(),
            shutdown: shutdown.clone(),
        };
        let server = RpcServer::builder(transport, Target::new(FaultControlClient::TOPIC).server(process))
            .endpoint(FaultControlEndpoint::new(Arc::new(manager)))
            .start()
            .await?;
        tracing::warn!(process, "faults are enabled: whoever reaches the bus can make this process fail");
        let until = shutdown.clone();
        shutdown.spawn(async move {
            loop {
                if let Err(error) = client.hello(&RequestContext::internal(), me.clone()).await {
                    tracing::warn!(%error, "other processes may not know that this one takes faults");
                }
                if !until.pause(HELLO).await {
                    break;
                }
            }
            server.stop(GRACE).await;
        });
        Ok(())
    }
}

#[derive(Clone)]
struct Manager {
    me: Participant,
    faults: Faults,
    /// The other processes that have been heard of and answer.
    others: Arc<Mutex<BTreeMap<String, Incarnation>>>,
    client: FaultControlClient,
    shutdown: Shutdown,
}

/// What all processes say.
struct Answers {
    fired: Vec<Fired>,
    processes: Vec<String>,
    missing: Vec<String>,
}

impl Manager {
    /// Shares what is known with one other process. Who does not answer is forgotten until it says hello again.
    async fn share_with(&self, ctx: &RequestContext, other: &str) -> Option<Shared> {
        let known = self.faults.known();
        match self.client.server(other).share(ctx, self.me.clone(), known).await {
            Ok(shared) => {
                self.take_over(shared.known.clone());
                Some(shared)
            }
            Err(error) => {
                let gone = matches!(
                    error,
                    CallError::Messaging(MessagingError::Timeout { .. } | MessagingError::Unroutable { .. })
                );
                if gone {
                    self.others.lock().remove(other);
                }
                tracing::info!(process = other, %error, "a process does not take over the faults");
                None
            }
        }
    }

    async fn share_with_all(&self, ctx: &RequestContext) -> Answers {
        let others: Vec<String> = self.others.lock().keys().cloned().collect();
        let answers = join_all(others.iter().map(|other| self.share_with(ctx, other))).await;
        let mut all =
            Answers { fired: self.faults.fired(), processes: vec![self.me.process.clone()], missing: Vec::new() };
        for (other, answer) in others.into_iter().zip(answers) {
            match answer {
                Some(answer) => {
                    all.fired.extend(answer.fired);
                    all.processes.push(other);
                }
                None => all.missing.push(other),
            }
        }
        all.processes.sort();
        all
    }

    fn take_over(&self, known: Vec<KnownFault>) {
        if let Err(error) = self.faults.learn(known) {
            // A process of another version, in which more is valid.
            tracing::warn!(error, "a fault can't be taken over");
        }
    }

    /// Whether this is news: another process, or another run of one.
    fn hears_of(&self, other: &Participant) -> bool {
        other.process != self.me.process
            && self.others.lock().insert(other.process.clone(), other.incarnation) != Some(other.incarnation)
    }
}

impl FaultControl for Manager {
    async fn add(&self, ctx: RequestContext, fault: Fault) -> Result<Reached, FaultError> {
        let id = format!("{:08x}", rand::random::<u32>());
        let known = KnownFault { id: id.clone(), added_at: Timestamp::now(), fault, cleared: false };
        self.faults.learn(vec![known]).map_err(|reason| FaultError::Invalid { reason })?;
        tracing::warn!(fault = id, "a fault was set");
        let Answers { processes, missing, .. } = self.share_with_all(&ctx).await;
        Ok(Reached { ids: vec![id], processes, missing })
    }

    async fn list(&self, ctx: RequestContext) -> Result<Listing, FaultError> {
        let Answers { fired, processes, missing } = self.share_with_all(&ctx).await;
        let in_force = self.faults.known().into_iter().filter(|known| !known.cleared);
        let listed = in_force.map(|known| ListedFault {
            fired: fired.iter().filter(|fired| fired.id == known.id).map(|fired| fired.count).sum(),
            id: known.id,
            added_at: known.added_at,
            fault: known.fault,
        });
        Ok(Listing { faults: listed.collect(), processes, missing })
    }

    async fn clear(&self, ctx: RequestContext, ids: Option<Vec<FaultId>>) -> Result<Reached, FaultError> {
        let ids = self.faults.clear(ids.as_deref()).map_err(|id| FaultError::NoSuchFault { id })?;
        tracing::warn!(?ids, "faults were cleared");
        let Answers { processes, missing, .. } = self.share_with_all(&ctx).await;
        Ok(Reached { ids, processes, missing })
    }

    async fn share(
        &self,
        _ctx: RequestContext,
        from: Participant,
        known: Vec<KnownFault>,
    ) -> Result<Shared, FaultError> {
        self.hears_of(&from);
        self.take_over(known);
        Ok(Shared { known: self.faults.known(), fired: self.faults.fired() })
    }

    async fn hello(&self, ctx: RequestContext, participant: Participant) -> Result<(), FaultError> {
        if self.hears_of(&participant) {
            let manager = self.clone();
            // Not within the message: the other may be just asking this process.
            self.shutdown.spawn(async move {
                manager.share_with(&ctx, &participant.process).await;
            });
        }
        Ok(())
    }
}
