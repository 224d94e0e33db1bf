//! What the documents list is what the program has.

use std::collections::BTreeSet;
use std::path::Path;

use harness::FakeUpstream;

use crate::scene::{hello, online};

#[test]
fn operations_lists_every_metric_with_its_type_and_no_other() {
    let upstream = FakeUpstream::start([hello()]);
    let host = online("A", &upstream).start();
    host.get(&hello().url_path("zip")).expect_body();
    host.get("example.com/absent/@v/v1.0.0.zip");
    // A question that upstream answers with other bytes, so that every family has a sample.
    upstream.put(
        "example.com/hello/@v/v1.0.0.mod",
        b"module other\n".to_vec(),
    );
    host.get(&hello().url_path("mod"));

    let shown: BTreeSet<String> = host
        .get("metrics")
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(str::to_owned)
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let listed: BTreeSet<String> = page.lines().flat_map(metrics_of_row).collect();
    assert_eq!(shown, listed);
}

/// The metrics that a row of the table lists, as `name type`. The `_total` of counters belongs to their samples.
fn metrics_of_row(row: &str) -> Vec<String> {
    let Some(rest) = row.strip_prefix("| `modmesh_") else {
        return Vec::new();
    };
    let cells: Vec<&str> = rest.split('|').map(str::trim).collect();
    let [names, kind, ..] = cells.as_slice() else {
        return Vec::new();
    };
    names
        .split("`, `modmesh_")
        .map(|name| {
            let name = name.trim_end_matches('`').split('{').next().unwrap_or(name);
            format!("modmesh_{} {kind}", name.trim_end_matches("_total"))
        })
        .collect()
}
