//! What projects have used, and what hosts have reported of it.

use novella_common::{ids::InstanceUuid, sql};
use serde_json::{Value, json};

use crate::support::Cloud;

const USAGE: &str = "/compute/v2.1/os-simple-tenant-usage";

/// Writes when a server ran, in hours after the beginning of 2026.
async fn ran(cloud: &Cloud, server: InstanceUuid, from: i64, until: Option<i64>) {
    let begin: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let at = |hour: i64| begin + jiff::SignedDuration::from_hours(hour);
    cloud
        .execute(sql!(
            "UPDATE instances SET launched_at = " (at(from)) ", terminated_at = " (until.map(at)) " WHERE uuid = " (server)
        ))
        .await;
}

on_both! {
    async fn a_project_is_charged_for_the_hours_of_its_servers_in_the_period(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let (first, second) = (cloud.active_server(&demo, "a", "host-1").await, cloud.active_server(&demo, "b", "host-1").await);
        let theirs = cloud.active_server(&admin, "theirs", "host-1").await;
        let never = cloud.new_server(&demo, "never").await;
        ran(&cloud, first, 0, Some(10)).await;
        ran(&cloud, second, 6, None).await;
        ran(&cloud, theirs, 0, Some(2)).await;
        let project = cloud.instance(first).await.unwrap().project_id;
        let period = "start=2026-01-01T04:00:00&end=2026-01-01T08:00:00.000000";

        let shown = demo.get(&format!("{USAGE}/{project}?{period}")).await;
        let usage = &shown.body["tenant_usage"];
        // Four hours of the one and two of the other: m1.tiny has 1 CPU, 512 MiB and 1 GiB.
        assert_eq!((shown.status, &usage["total_hours"], &usage["total_memory_mb_usage"]), (200, &json!(6.0), &json!(3072.0)));
        assert_eq!((&usage["tenant_id"], &usage["start"]), (&json!(project), &json!("2026-01-01T04:00:00.000000")));
        let servers = usage["server_usages"].as_array().unwrap();
        assert_eq!(servers.len(), 2, "{servers:?}");
        let of = |server: InstanceUuid| servers.iter().find(|usage| usage["instance_id"] == json!(server)).unwrap();
        assert_eq!((&of(first)["state"], &of(first)["hours"], &of(first)["uptime"]), (&json!("terminated"), &json!(4.0), &json!(36_000)));
        assert_eq!((&of(second)["state"], &of(second)["ended_at"]), (&json!("active"), &Value::Null));
        assert!(!servers.iter().any(|usage| usage["instance_id"] == json!(never)));

        let all = admin.get(&format!("{USAGE}?start=2026-01-01T00:00:00&end=2026-01-01T08:00:00")).await;
        let hours: f64 = all.body["tenant_usages"].as_array().unwrap().iter().map(|usage| usage["total_hours"].as_f64().unwrap()).sum();
        assert!((hours - 12.0).abs() < 1e-9, "{:?}", all.body);
        assert!(all.body["tenant_usages"][0].get("server_usages").is_none());
        let detailed = admin.get(&format!("{USAGE}?{period}&detailed=1")).await;
        assert_eq!(detailed.body["tenant_usages"][0]["server_usages"].as_array().map(Vec::len), Some(2));
        // Nothing was used in a period without servers, nor in none at all.
        let nothing = demo.get(&format!("{USAGE}/{project}?start=2025-01-01T00:00:00&end=2025-02-01T00:00:00")).await;
        assert_eq!(nothing.body, json!({"tenant_usage": {}}));
        assert_eq!(admin.get(USAGE).await.status, 200);
    }

    async fn usage_comes_in_pages_from_2_40_on(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        let mut project = String::new();
        for index in 0..5 {
            let server = cloud.active_server(&demo, &format!("s{index}"), "host-1").await;
            ran(&cloud, server, index, None).await;
            project = cloud.instance(server).await.unwrap().project_id;
        }
        let period = "start=2026-01-01T00:00:00&end=2026-01-02T00:00:00";
        let mut next = Some(format!("{USAGE}/{project}?{period}&limit=2"));
        let (mut servers, mut pages) = (Vec::new(), 0);
        while let Some(path) = next {
            let page = demo.at("2.40").get(&path).await;
            assert_eq!(page.status, 200, "{:?}", page.body);
            let used = page.body["tenant_usage"]["server_usages"].as_array().cloned().unwrap_or_default();
            servers.extend(used.iter().map(|usage| usage["instance_id"].clone()));
            let link = page.body["tenant_usage_links"][0]["href"].as_str();
            next = link.map(|link| link.strip_prefix("http://cloud.test").unwrap().to_owned());
            pages += 1;
        }
        let different: std::collections::HashSet<_> = servers.iter().map(ToString::to_string).collect();
        assert_eq!((pages, servers.len(), different.len()), (3, 5, 5));
        let page = admin.at("2.40").get(&format!("{USAGE}?{period}&limit=2&detailed=1")).await;
        assert!(page.body["tenant_usages_links"][0]["href"].as_str().unwrap().contains("marker="), "{:?}", page.body);
        // Before that, whatever is asked for.
        let all = demo.at("2.39").get(&format!("{USAGE}/{project}?{period}&limit=2")).await;
        assert_eq!(all.body["tenant_usage"]["server_usages"].as_array().map(Vec::len), Some(5));
        let unknown = "00000000-0000-4000-8000-000000000000";
        assert_eq!(demo.at("2.40").get(&format!("{USAGE}/{project}?{period}&marker={unknown}")).await.status, 400);
    }

    async fn usage_is_ones_own_and_its_period_makes_sense(cloud: Cloud) {
        let (admin, demo) = (cloud.admin().await, cloud.demo().await);
        assert_eq!(demo.get(USAGE).await.status, 403);
        assert_eq!(demo.get(&format!("{USAGE}/another")).await.status, 403);
        for query in ["start=2026-02-01T00:00:00&end=2026-01-01T00:00:00", "start=yesterday", "start=2026-01-01T00:00:00&end=2026-01-01T00:00:00"] {
            assert_eq!(admin.get(&format!("{USAGE}?{query}")).await.status, 400, "{query}");
        }
        assert_eq!(admin.at("2.75").get(&format!("{USAGE}?unknown=1")).await.status, 400);
        assert_eq!(admin.at("2.75").get(&format!("{USAGE}/p?detailed=1")).await.status, 400);
    }

    async fn no_host_has_reported_usage(cloud: Cloud) {
        const LOG: &str = "/compute/v2.1/os-instance_usage_audit_log";
        let admin = cloud.admin().await;
        cloud.write_host("host-1", "nova").await;
        let log = admin.get(LOG).await.body["instance_usage_audit_logs"].clone();
        assert_eq!((&log["num_hosts"], &log["hosts_not_run"]), (&json!(1), &json!(["host-1"])));
        assert_eq!(log["overall_status"], "0 of 1 hosts done. 0 errors.");
        let log = admin.get(&format!("{LOG}/2026-03-05%2010:00:00")).await.body["instance_usage_audit_log"].clone();
        assert_eq!((&log["period_beginning"], &log["period_ending"]), (&json!("2026-02-01 00:00:00"), &json!("2026-03-01 00:00:00")));
        for wrong in ["2026-03-05", "my-invalid-date", "2026-03-05%2010:00"] {
            let refused = admin.get(&format!("{LOG}/{wrong}")).await;
            assert!(refused.status == 400 && refused.message().starts_with("Invalid timestamp for date"), "{wrong}");
        }
        assert_eq!(cloud.demo().await.get(LOG).await.status, 403);
    }
}
