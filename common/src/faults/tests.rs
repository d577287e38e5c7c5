use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::faults::{HostRule, HttpRule};

fn known(id: &str, rule: Rule) -> KnownFault {
    let fault = Fault { rule, delay: Duration::from_secs(1), times: None, rate: None };
    KnownFault { id: id.into(), added_at: Timestamp::UNIX_EPOCH, fault, cleared: false }
}

fn host_rule() -> HostRule {
    HostRule { fail: true, ..HostRule::default() }
}

fn http_rule(path: Option<&str>) -> Rule {
    let effect = HttpEffect::Answer { status: 503, retry_after: None, message: None };
    Rule::Http(HttpRule { path: path.map(str::to_owned), effect: Some(effect), ..HttpRule::default() })
}

fn with(known: impl IntoIterator<Item = KnownFault>) -> Faults {
    let faults = Faults::default();
    faults.learn(known.into_iter().collect()).unwrap();
    faults
}

const BUILD: HostEvent<'_> =
    HostEvent { host: "host-1", flavor: "m1.tiny", project: "p1", operation: HostOperation::Build };

fn get(path: &str) -> HttpEvent<'_> {
    HttpEvent { method: "GET", path, project: None }
}

fn reached(pattern: &str, path: &str) -> bool {
    with([known("a", http_rule(Some(pattern)))]).on_http(&get(path)).is_some()
}

#[test]
fn a_fault_is_for_what_all_of_its_conditions_name() {
    let own = HostRule {
        host: Some("host-1".into()),
        flavor: Some("m1.tiny".into()),
        project: Some("p1".into()),
        operation: Some(HostOperation::Build),
        ..host_rule()
    };
    let faults = with([known("a", Rule::Host(own))]);
    assert!(faults.on_host(&BUILD).is_some());
    for other in [
        HostEvent { host: "host-2", ..BUILD },
        HostEvent { flavor: "m1.small", ..BUILD },
        HostEvent { project: "p2", ..BUILD },
        HostEvent { operation: HostOperation::Reboot, ..BUILD },
    ] {
        assert_eq!(faults.on_host(&other), None, "{other:?}");
    }
    assert_eq!(faults.on_http(&get("/compute/v2.1/servers")), None);
}

#[test]
fn each_host_counts_for_itself_and_the_next_fault_takes_over_from_one_that_is_used_up() {
    let mut once = known("a", Rule::Host(host_rule()));
    once.fault.times = Some(1);
    let later = known("b", Rule::Host(HostRule { message: Some("later".into()), ..host_rule() }));
    let faults = with([later, once]);
    let text = |event: &HostEvent<'_>| faults.on_host(event).unwrap().failure.unwrap();
    assert_eq!(text(&BUILD), "fault a: build fails on host host-1");
    assert_eq!(text(&BUILD), "later");
    assert_eq!(text(&HostEvent { host: "host-2", ..BUILD }), "fault a: build fails on host host-2");
    let fired = |id: &str| faults.fired().into_iter().find(|fired| fired.id == id).unwrap().count;
    assert_eq!((fired("a"), fired("b")), (2, 1));
}

#[test]
fn a_request_is_met_by_method_pattern_and_project() {
    assert!(reached("/compute/v2.1/servers", "/compute/v2.1/servers"));
    assert!(!reached("/compute/v2.1/servers", "/compute/v2.1/servers/1"));
    assert!(reached("/compute/v2.1/servers/*", "/compute/v2.1/servers/1"));
    assert!(!reached("/compute/v2.1/servers/*", "/compute/v2.1/servers/1/action"));
    assert!(reached("/compute/**", "/compute/v2.1/servers/1/action"));
    assert!(!reached("/compute/v2.1/s.rvers", "/compute/v2.1/servers"));

    let mut fault = known("a", http_rule(Some("/compute/**")));
    if let Rule::Http(rule) = &mut fault.fault.rule {
        (rule.method, rule.project) = (Some("post".into()), Some("p1".into()));
    }
    let faults = with([fault]);
    let event = HttpEvent { method: "POST", path: "/compute/v2.1/servers", project: Some("p1") };
    assert!(faults.on_http(&event).is_some());
    assert!(faults.on_http(&HttpEvent { method: "GET", ..event }).is_none());
    assert!(faults.on_http(&HttpEvent { project: None, ..event }).is_none());
    assert!(faults.ask_for_project("POST", "/compute/v2.1/servers"));
    assert!(!faults.ask_for_project("GET", "/compute/v2.1/servers"));
}

#[test]
fn what_keeps_the_cloud_usable_is_met_only_by_a_fault_that_names_it() {
    for path in ["/healthz", "/readyz", "/metrics", "/identity/v3/auth/tokens"] {
        assert!(with([known("a", http_rule(None))]).on_http(&get(path)).is_none());
        assert!(!reached("/**", path) && !reached("/identity/**", path), "{path}");
        assert!(reached(path, path));
    }
    assert!(with([known("a", http_rule(None))]).on_http(&get("/compute/v2.1/servers")).is_some());
}

#[test]
fn a_rate_fires_some_of_the_time() {
    let mut fault = known("a", http_rule(None));
    fault.fault.rate = Some(0.5);
    let faults = with([fault]);
    // Neither all nor none, but for one time in 2^199.
    let fired = (0..200).filter(|_| faults.on_http(&get("/")).is_some()).count();
    assert!((1..200).contains(&fired), "{fired}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let host = |rule: HostRule| known("a", Rule::Host(rule)).fault;
    let http = |effect| Fault {
        rule: Rule::Http(HttpRule { effect: Some(effect), ..HttpRule::default() }),
        ..host(host_rule())
    };
    let answer = |status| HttpEffect::Answer { status, retry_after: None, message: None };
    for (wrong, reason) in [
        (Fault { times: Some(0), ..host(host_rule()) }, "0 times"),
        (Fault { rate: Some(0.0), ..host(host_rule()) }, "rate"),
        (Fault { rate: Some(f64::NAN), ..host(host_rule()) }, "rate"),
        (Fault { delay: Duration::from_secs(3601), ..host(host_rule()) }, "3600"),
        (Fault { delay: Duration::ZERO, ..host(HostRule::default()) }, "nothing would happen"),
        (http(answer(200)), "200"),
        (known("a", http_rule(Some("servers"))).fault, "begin with"),
    ] {
        let said = wrong.check().unwrap_err();
        assert!(said.contains(reason), "{said}");
    }
    assert_eq!(http(answer(429)).check(), Ok(()));
}

#[test]
fn the_document_on_faults_names_every_operation_and_spared_path() {
    const DOCUMENT: &str = include_str!("../../../docs/faults.md");
    let operations = HostOperation::ALL.map(HostOperation::as_str);
    for name in operations.into_iter().chain(fault::SPARED) {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "docs/faults.md does not name {name}");
    }
}

#[test]
fn one_unknown_id_clears_nothing() {
    let faults = with([known("a", http_rule(None)), known("b", http_rule(None))]);
    assert_eq!(faults.clear(Some(&["a".into(), "c".into()])), Err("c".into()));
    assert_eq!(faults.clear(Some(&["a".into()])), Ok(vec!["a".into()]));
    assert_eq!(faults.clear(Some(&["a".into()])), Err("a".into()));
    assert_eq!(faults.clear(None), Ok(vec!["b".into()]));
    assert_eq!(faults.on_http(&get("/")), None);
}

proptest! {
    /// Whatever processes hear of each other, and when: they come to know the same, and nothing that was cleared returns.
    #[test]
    fn processes_that_have_heard_of_each_other_know_the_same(
        steps in prop::collection::vec((0..3_usize, 0..3_usize, any::<bool>()), 0..30),
    ) {
        let processes = [Faults::default(), Faults::default(), Faults::default()];
        let mut cleared = Vec::new();
        for (step, (one, other, clears)) in steps.into_iter().enumerate() {
            if clears {
                cleared.extend(processes[one].clear(None).unwrap());
            } else {
                processes[one].learn(vec![known(&format!("{step:02}"), http_rule(None))]).unwrap();
            }
            processes[other].learn(processes[one].known()).unwrap();
        }
        for _ in 0..2 {
            for (one, other) in [(0, 1), (1, 2), (2, 0)] {
                processes[other].learn(processes[one].known()).unwrap();
            }
        }
        prop_assert_eq!(processes[0].known(), processes[1].known());
        prop_assert_eq!(processes[1].known(), processes[2].known());
        prop_assert!(processes[0].known().iter().all(|known| known.cleared == cleared.contains(&known.id)));
    }
}
