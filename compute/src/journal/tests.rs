//! What the journal promises, whatever is done to it in whatever order.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]

use std::collections::BTreeMap;

use novella_common::{
    lifecycle::VmState,
    models::{Flavor, RxtxFactor},
};
use proptest::prelude::*;

use super::*;

/// What can happen to a journal. Instances are numbered from 0 to 3.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begin(u8),
    Step(u8),
    End(u8),
    Happen(u8),
    Forget(u8),
    Repeat(u8),
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0..7_u8, 0..4_u8).prop_map(|(kind, instance)| match kind {
        0 => Event::Begin(instance),
        1 => Event::Step(instance),
        2 => Event::End(instance),
        3 => Event::Happen(instance),
        4 => Event::Forget(instance),
        5 => Event::Repeat(instance),
        _ => Event::Restart,
    });
    prop::collection::vec(one, 1..40)
}

fn instance(number: u8) -> InstanceUuid {
    InstanceUuid(Uuid::from_u128(u128::from(number)))
}

fn spec(number: u8) -> InstanceSpec {
    let flavor = Flavor {
        id: "1".into(),
        name: "m1".into(),
        vcpus: 1,
        memory_mb: 64 << number,
        disk_gb: 1,
        ephemeral_gb: 0,
        swap_mb: 0,
        is_public: true,
        description: None,
        extra_specs: BTreeMap::new(),
        rxtx_factor: RxtxFactor::default(),
    };
    InstanceSpec {
        network_info: novella_common::models::NetworkInfo::default(),
        uuid: instance(number),
        name: "vm".into(),
        hostname: "vm".into(),
        project_id: "p".into(),
        user_id: "u".into(),
        image_ref: None,
        flavor,
        metadata: BTreeMap::new(),
        user_data: None,
        config_drive: false,
    }
}

fn said() -> PendingReport {
    PendingReport::Instance {
        task_id: None,
        request_id: None,
        power_state: PowerState::Running,
        progress: OperationProgress::Done { vm_state: VmState::Active },
        event: None,
    }
}

/// What a conductor would have got, and what it must have.
#[derive(Default)]
struct Heard {
    /// The numbers that were used, in order.
    numbers: Vec<i64>,
    newest: HashMap<InstanceUuid, i64>,
}

impl Heard {
    fn take(&mut self, outbox: &Outbox) -> Result<(), TestCaseError> {
        for fact in outbox.drain() {
            let (seq, Fact::Instance(report)) = (fact_seq(&fact).unwrap(), fact) else {
                continue;
            };
            let newest = self.newest.entry(report.instance).or_default();
            if seq == *newest {
                // A repetition of what was the last word on it.
                continue;
            }
            prop_assert!(seq > *newest);
            *newest = seq;
            prop_assert!(self.numbers.last().is_none_or(|last| *last < seq), "{} after {:?}", seq, self.numbers);
            self.numbers.push(seq);
        }
        Ok(())
    }
}

async fn walk(events: Vec<Event>) -> Result<(), TestCaseError> {
    let store = Arc::new(Store::in_memory().unwrap());
    let outbox = Arc::new(Outbox::default());
    let mut journal = Journal::open(&store, "host-1", outbox.clone()).await.unwrap();
    let mut heard = Heard::default();
    let capacity = Resources { vcpus: 100, memory_mb: 1 << 20, disk_gb: 1 << 20 };
    for event in events {
        match event {
            Event::Begin(number) => {
                let operation = Operation::new(TaskId::random(), None, Action::Create, Default::default());
                let needs = Needs::Resources(Box::new(spec(number)), capacity);
                if let Began::New(commit) = journal.begin(instance(number), operation, &needs).unwrap() {
                    commit.durable().await.unwrap();
                }
            }
            Event::Step(number) | Event::End(number) => {
                let task = journal.look(instance(number), |entry| Some(entry?.operation.as_ref()?.task_id));
                let step = journal.step(instance(number), task.unwrap_or_else(TaskId::random), |entry, _| {
                    if matches!(event, Event::End(_)) {
                        entry.settle();
                    }
                    Some(said())
                });
                if let Some(commit) = step.unwrap() {
                    commit.durable().await.unwrap();
                }
            }
            Event::Happen(number) => {
                journal.change(instance(number), |_| Some(said())).unwrap().durable().await.unwrap();
            }
            Event::Forget(number) => journal.forget(instance(number)).unwrap().durable().await.unwrap(),
            Event::Repeat(number) => journal.repeat(instance(number), 0).await.unwrap(),
            Event::Restart => journal = Journal::open(&store, "host-1", outbox.clone()).await.unwrap(),
        }
        heard.take(&outbox)?;
        let (mut held, mut newest) = (Resources::default(), HashMap::new());
        for number in 0..4 {
            journal.look(instance(number), |entry| {
                let Some(entry) = entry else { return };
                held = held.plus(&entry.holds());
                newest.extend(entry.last_report.as_ref().and_then(fact_seq).map(|seq| (instance(number), seq)));
            });
        }
        prop_assert_eq!(journal.held(), held);
        for (instance, seq) in newest {
            prop_assert_eq!(heard.newest.get(&instance), Some(&seq));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn numbers_only_grow_and_the_last_report_of_each_instance_is_kept(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(walk(events))?;
    }
}
