use protocol::world::Timestamp;

use super::*;

/// A clock that stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// What comes of asking there; no name leads anywhere.
async fn ask(url: &str, private_hosts: &[&str]) -> NotFetched {
    let mut settings = GuardedSettings::new(Trust::nobody().unwrap());
    settings.resolver = Arc::new(Nowhere);
    settings.private_hosts = private_hosts.iter().map(|host| (*host).to_owned()).collect();
    let fetcher = GuardedFetcher::new(&settings, Arc::new(Still));
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let limits = Limits { total: Duration::from_secs(5), max_body: 1024 };
    fetcher.ask(request, limits).await.unwrap_err()
}

/// What a peer named is judged as what a stranger named: before any name is looked up.
#[tokio::test]
async fn a_host_that_a_peer_named_is_asked_at_the_usual_port_or_at_one_that_the_operator_named() {
    let other = "https://peer.example:8443/token";
    assert_eq!(ask(other, &[]).await, NotFetched::Port);
    assert_eq!(ask(other, &["else.example:8443", "peer.example:443"]).await, NotFetched::Port);
    // Past that rule there is nobody.
    assert_eq!(ask(other, &["peer.example:8443"]).await, NotFetched::Unreachable);
    for usual in ["https://peer.example/token", "https://peer.example:443/token"] {
        assert_eq!(ask(usual, &[]).await, NotFetched::Unreachable, "{usual}");
    }
    for none in ["http://peer.example/token", "ftp://peer.example/token"] {
        assert_eq!(ask(none, &[]).await, NotFetched::Url, "{none}");
    }
}
