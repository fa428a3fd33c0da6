//! F-26: whoever reads the log reads nothing for a while, as a collector that hangs.

use std::time::Duration;

use futures_util::future::join_all;

use crate::process::{Folder, http};

#[tokio::test]
async fn f_26_a_log_that_nobody_reads_holds_no_request_up_and_what_was_lost_is_counted() {
    let house = Folder::new("http://127.0.0.1:9/mcp");
    let (running, listen) = house.serve_unheard();
    let url = format!("{}/no/such/page", house.issuer);
    let http = http();
    // Each is refused, and that is one line: more than a pipe holds and than may wait.
    for round in 0..100 {
        let answers = join_all((0..60).map(|_| http.get(&url, &[])));
        let answers = tokio::time::timeout(Duration::from_secs(10), answers).await;
        let answers = answers.unwrap_or_else(|_| panic!("round {round} hangs"));
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 404)));
    }
    listen.send(()).unwrap();
    running.says("lines of the log were lost");
    running.send("-TERM");
    let (code, said) = running.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopping"), "the last lines are written");
}
