use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use novella_common::RequestContext;

use super::*;
use crate::{Named, Token};

rules! { POLICY, "":
    CONTEXT_IS_ADMIN: Who::Check("role:admin"), "Be an administrator.";
    SERVERS_INDEX = "os_compute_api:servers:index": READERS, "List servers.";
    SERVERS_SHOW = "os_compute_api:servers:show": READERS, "Show a server.";
    SERVERS_CREATE = "os_compute_api:servers:create": MEMBERS, "Make a server.";
    SERVICES_LIST = "os_compute_api:os-services:list": Who::Admin, "List services.";
    AVAILABILITY_ZONE_LIST = "os_compute_api:os-availability-zone:list": Who::Anyone, "List availability zones.";
    KEYPAIRS_SHOW = "os_compute_api:os-keypairs:show": Who::Owner, "Show a key pair.";
    GET_USER = "identity:get_user": Who::AnyOf(&[Grantee::System(READER), Grantee::Domain(READER), Grantee::User]), "Show a user.";
    LIST_SERVICES = "identity:list_services": Who::AnyOf(&[Grantee::System(READER)]), "List services.";
}

static POLICY: PolicyDescription = PolicyDescription {
    attributes: &["project_id", "user_id", "target.user.id", "target.domain_id"],
    ..PolicyDescription::DEFAULT
};

fn named(id: &str) -> Named {
    Named { id: id.into(), name: id.into() }
}

fn token(roles: &[&str]) -> Token {
    Token {
        user: named("u1"),
        user_domain: named("d1"),
        password_expires_at: None,
        project: Some(named("p1")),
        project_domain: Some(named("d1")),
        is_domain: false,
        domain: None,
        system: false,
        roles: roles.iter().map(|role| named(role)).collect(),
        methods: Vec::new(),
        audit_ids: Vec::new(),
        application_credential: None,
        trust: None,
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
    }
}

fn caller(file: &str, token: Token) -> Caller {
    let policy = Policy::read(ALL, Path::new("policy.yaml"), file).unwrap();
    Caller::new(RequestContext::internal(), Arc::new(token), Arc::new(policy))
}

/// With this role and those that it implies.
fn holder(role: &str) -> Caller {
    let roles: Vec<&str> = ROLES.into_iter().skip_while(|held| *held != role).collect();
    caller("", token(&roles))
}

fn wrong(file: &str) -> String {
    Policy::read(ALL, Path::new("policy.yaml"), file).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_role_counts_in_its_own_project_only_and_admin_counts_everywhere() {
    assert!(SERVERS_SHOW.allows(&holder(READER), Some("p1")));
    assert!(!SERVERS_SHOW.allows(&holder(MEMBER), Some("p2")));
    assert!(SERVERS_SHOW.allows(&holder(ADMIN), Some("p2")));
    assert!(!SERVERS_CREATE.allows(&holder(READER), Some("p1")));
    assert!(!SERVICES_LIST.allows(&holder(MANAGER), None));
    assert!(AVAILABILITY_ZONE_LIST.allows(&holder("nothing"), None));
}

#[test]
fn a_token_without_a_project_is_granted_nothing_that_belongs_to_one() {
    let unscoped = caller("", Token { project: None, project_domain: None, ..token(&[MEMBER, READER]) });
    assert!(!SERVERS_INDEX.allows(&unscoped, unscoped.project_id.as_deref()));
    assert!(SERVERS_INDEX.check_beforehand(&unscoped).is_err());
}

#[test]
fn the_text_names_the_rule() {
    let denied = SERVERS_CREATE.check_own(&holder(READER));
    assert_eq!(
        denied.map_err(|denied| denied.to_string()),
        Err("Policy doesn't allow os_compute_api:servers:create to be performed.".to_owned())
    );
}

#[test]
fn who_could_be_granted_a_rule_for_some_thing_passes_until_the_thing_is_known() {
    let nobody = caller("", token(&[]));
    assert!(GET_USER.check_beforehand(&nobody).is_ok());
    let of = |user| Target { user: Some(user), ..Target::default() };
    assert!(GET_USER.check_target(&nobody, &of("u1")).is_ok());
    assert!(GET_USER.check_target(&nobody, &of("u2")).is_err());
    assert!(LIST_SERVICES.check_beforehand(&nobody).is_err());
    // A token for no domain can't be for that of the thing.
    let reader = caller("identity:get_user: \"role:reader and domain_id:%(target.domain_id)s\"", token(&[READER]));
    assert!(GET_USER.check_beforehand(&reader).is_err());
    // What is no such thing is possible too, whatever it is.
    let others = caller("identity:get_user: \"not user_id:%(target.user.id)s\"", token(&[READER]));
    assert!(GET_USER.check_beforehand(&others).is_ok());
    assert!(GET_USER.check_target(&others, &of("u1")).is_err());
}

#[test]
fn a_file_changes_who_is_an_administrator_and_what_is_granted_follows() {
    let operator = caller("context_is_admin: \"role:admin or role:operator\"", token(&["operator"]));
    assert!(operator.is_admin);
    assert!(SERVERS_SHOW.allows(&operator, Some("p2")) && SERVICES_LIST.allows(&operator, None));
    let fallen = caller("context_is_admin: \"!\"", token(&[ADMIN]));
    assert!(!fallen.is_admin && !SERVICES_LIST.allows(&fallen, None));
}

#[test]
fn only_users_may_see_their_own_where_a_file_says_so() {
    let file = "os_compute_api:servers:show: \"user_id:%(user_id)s and project_id:%(project_id)s\"";
    let member = caller(file, token(&[MEMBER, READER]));
    assert!(SERVERS_SHOW.check_beforehand(&member).is_ok());
    let of = |user| Target { user: Some(user), project: Some("p1"), ..Target::default() };
    assert!(SERVERS_SHOW.check_target(&member, &of("u1")).is_ok());
    assert!(SERVERS_SHOW.check_target(&member, &of("u2")).is_err());
}

#[test]
fn roles_are_compared_without_regard_to_capitals_and_credentials_with() {
    let cased = caller("os_compute_api:servers:index: \"role:MeMber\"", token(&["mEmber"]));
    assert!(SERVERS_INDEX.allows(&cased, None));
    let cased = caller("os_compute_api:servers:index: \"project_id:P1\"", token(&[]));
    assert!(!SERVERS_INDEX.allows(&cased, None));
}

#[test]
fn every_form_that_oslo_policy_reads_is_read() {
    let file = r#"
# A comment.
"os_compute_api:servers:index": ""
'os_compute_api:servers:show': "@"
os_compute_api:servers:create: [["role:reader", "rule:mine"], ["role:auditor"]]
"os_compute_api:os-services:list": ["role:auditor", "role:other"]
"os_compute_api:os-keypairs:show": >-
  rule:mine or
  (not role:reader and 'x':x)
mine: "project_id:%(project_id)s"
identity:list_services: []
"#;
    let policy = Policy::read(ALL, Path::new("policy.yaml"), file).unwrap();
    let shown = |name: &str| policy.rule(name).map(|rule| (rule.check.to_string(), rule.line));
    assert_eq!(shown("os_compute_api:servers:index"), Some(("@".into(), Some(3))));
    assert_eq!(
        shown("os_compute_api:servers:create"),
        Some(("(role:reader and rule:mine) or role:auditor".into(), Some(5)))
    );
    assert_eq!(shown("os_compute_api:os-services:list"), Some(("role:auditor or role:other".into(), Some(6))));
    assert_eq!(
        shown("os_compute_api:os-keypairs:show"),
        Some(("rule:mine or (not role:reader and 'x':x)".into(), Some(7)))
    );
    assert_eq!(shown("identity:list_services"), Some(("@".into(), Some(11))));
    assert_eq!(shown("identity:get_user").and_then(|(_, line)| line), None);
    let json = "{\"os_compute_api:servers:index\": \"!\"}";
    assert!(Policy::read(ALL, Path::new("policy.json"), json).is_ok());
    for empty in ["", "# nothing\n", "---\n", "{}"] {
        assert!(Policy::read(ALL, Path::new("policy.yaml"), empty).is_ok(), "{empty:?}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    for (rule, said) in [
        ("\"role:admin and\"", "a check is expected at its end"),
        ("\"(role:admin\"", "a ')' is missing at its end"),
        ("\"role:admin) or @\"", "'and' or 'or' is expected before ')'"),
        ("\"role:a role:b\"", "'and' or 'or' is expected before 'role:b'"),
        ("\"or role:b\"", "a check is expected before 'or'"),
        ("\"admin\"", "'admin' is no check: it has no ':', as role:admin or rule:admin have"),
        ("\" \"", "a check is expected at its end"),
        ("\"'admin'\"", "'admin' is a text by itself, and no check"),
        ("\"role:%(x\"", "in '%(x' a '%' is neither '%%' nor the beginning of '%(name)s'"),
        ("\"https://x/y\"", "'https://x/y' asks another server, which is not done here"),
        ("", "there is no check; write"),
        ("!", "'!' begins something else in YAML"),
        ("true", "a check is a text or a list"),
        ("\"rule:admin_requird\"", "there is no rule 'admin_requird'"),
        ("\"rule:context_is_admn\"", "there is no rule 'context_is_admn'; was 'context_is_admin' meant?"),
        ("\"projct_id:%(project_id)s\"", "nothing called 'projct_id' is known of who asks; there are user_id, "),
        ("\"project_id:%(projct_id)s\"", "'%(projct_id)s' names nothing that is known of what is asked about"),
    ] {
        let text = wrong(&format!("\n# one\nos_compute_api:servers:show: {rule}\n"));
        let expected = format!("policy.yaml:3: rule 'os_compute_api:servers:show': {said}");
        assert!(text.contains(&expected), "{rule}: {text}");
    }
    for (file, said) in [
        (
            "os_compute_api:servers:shwo: \"@\"",
            "1: there is no rule 'os_compute_api:servers:shwo', and no other names it",
        ),
        ("a: \"@\"\n\na: \"!\"", "3: rule 'a' is there a second time; the first is in line 1"),
        ("- a", "1: names of rules with their checks are expected"),
        ("a: {b: c}", "1: rule 'a': a check is expected: a text, or a list"),
        ("a: [[[b]]]", "1: a list in a list in a list is no check"),
        ("a: \"b", "this is no YAML"),
    ] {
        let text = wrong(file);
        assert!(text.contains(&format!("policy.yaml:{said}")) || text.contains(said), "{file}: {text}");
    }
    // All at once.
    let text = wrong("os_compute_api:servers:show: \"(\"\nos_compute_api:servers:index: \"and\"");
    assert!(text.contains("policy.yaml:1: ") && text.contains("policy.yaml:2: "), "{text}");
}

#[test]
fn rules_that_name_themselves_are_told_from_those_that_share_others() {
    let text = wrong("os_compute_api:servers:show: \"rule:a\"\na: \"not rule:b\"\nb: \"@ or (rule:a and @)\"");
    assert!(text.contains("rule 'a' names itself: a > b > a"), "{text}");
    let text = wrong("context_is_admin: \"rule:context_is_admin\"");
    assert!(text.contains("policy.yaml:1: rule 'context_is_admin' names itself"), "{text}");
    // Each names the next one twice: as many ways as there are grains of sand, and no circle.
    let mut file = String::from("os_compute_api:servers:show: \"rule:a0\"\n");
    for number in 0..60 {
        file.push_str(&format!("a{number}: \"rule:a{next} or rule:a{next}\"\n", next = number + 1));
    }
    file.push_str("a60: \"@\"");
    assert!(Policy::read(ALL, Path::new("policy.yaml"), &file).is_ok());
    let mut file = String::from("os_compute_api:servers:show: \"rule:a0\"\n");
    for number in 0..2000 {
        file.push_str(&format!("a{number}: \"rule:a{}\"\n", number + 1));
    }
    file.push_str("a2000: \"@\"");
    assert!(wrong(&file).contains("more than 100 rules name one another in a row"), "{}", wrong(&file));
    let deep = format!("os_compute_api:servers:show: \"{}@{}\"", "(".repeat(5000), ")".repeat(5000));
    assert!(wrong(&deep).contains("more than 100 checks stand in each other"));
}
