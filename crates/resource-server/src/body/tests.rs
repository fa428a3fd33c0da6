use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt;
use protocol::mcp::RequestId;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::audit::{Audit, CallRecord, Entry};
use crate::counts::{Counters, Ending};
use crate::fixture::{self, TestClock, events_body};
use crate::media::Media;
use crate::streams::Streams;

struct Setting {
    streams: Arc<Streams>,
    events: mpsc::Receiver<CallRecord>,
    audit: Audit,
    clock: Arc<TestClock>,
}

impl Setting {
    fn new() -> Self {
        let clock = TestClock::new();
        let (audit, events) =
            Audit::new(Arc::clone(&clock) as _, Arc::new(Counters::default()), fixture::no_intents(&clock));
        Self { streams: Arc::new(Streams::new(2)), events, audit, clock }
    }

    async fn entry(&self) -> Entry {
        self.audit.reserve(fixture::who(&self.clock)).await.unwrap()
    }

    fn stream(&self, entry: &Entry, media: Media, id: Option<RequestId>) -> Stream {
        let lease = self.streams.enter(entry.who().clone(), false).unwrap();
        Stream::new(lease, Duration::from_secs(4200), media, id)
    }

    async fn guarded<B>(&self, body: B, media: Media, id: Option<RequestId>) -> Guarded<B>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let entry = self.entry().await;
        let stream = self.stream(&entry, media, id);
        Guarded::new(body, entry, Some(stream), (Ending::Answered, None))
    }

    fn ending(&mut self) -> (Ending, Option<&'static str>) {
        let record = self.events.try_recv().unwrap();
        assert!(self.events.try_recv().is_err(), "written down twice");
        (record.ending, record.reason)
    }
}

async fn next<B: http_body::Body<Data = Bytes> + Send + Unpin + 'static>(
    body: &mut Guarded<B>,
) -> Option<Result<String, BodyError>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
}

#[tokio::test]
async fn frames_pass_untouched_and_at_once() {
    let mut setting = Setting::new();
    let (feed, body) = events_body();
    let mut guarded = setting.guarded(body, Media::Events, None).await;
    assert_eq!(setting.streams.len(), 1);
    for text in [": ping\n", "\n", "data: half", " of it\r\n\r\n"] {
        feed.send(text);
        assert_eq!(next(&mut guarded).await, Some(Ok(text.to_owned())));
    }
    drop(feed);
    assert_eq!(next(&mut guarded).await, None);
    assert_eq!((setting.ending(), setting.streams.len()), ((Ending::Answered, None), 0));
}

/// P-2: closed at once, and the MCP server's side with it.
#[tokio::test]
async fn a_stream_ends_when_its_access_is_withdrawn() {
    for (media, expected) in [(Media::Events, None), (Media::Json, Some(Err(BodyError::Ended)))] {
        let mut setting = Setting::new();
        let (feed, body) = events_body();
        let mut guarded = setting.guarded(body, media, None).await;
        feed.send("data: 1\n\n");
        assert_eq!(next(&mut guarded).await, Some(Ok("data: 1\n\n".to_owned())));
        let grant = fixture::who(&setting.clock).verdict.access.grant;
        setting.streams.end_where(|access| access.grant != grant);
        feed.send("data: 2\n\n");
        assert_eq!(next(&mut guarded).await, Some(Ok("data: 2\n\n".to_owned())), "another grant was meant");
        feed.send("data: too late\n\n");
        setting.streams.end_where(|access| access.grant == grant);
        assert_eq!(next(&mut guarded).await, expected, "{media:?}");
        feed.closed().await;
        assert_eq!(next(&mut guarded).await, None);
        assert_eq!(setting.ending(), (Ending::Revoked, Some("access_withdrawn")));
    }
}

/// A client that reads nothing: nobody polls the body, and still the MCP server is let go of, the call is written down,
/// and not a byte more is handed out.
#[tokio::test]
async fn a_stream_that_nobody_reads_ends_all_the_same() {
    for (media, expected) in [(Media::Events, None), (Media::Json, Some(Err(BodyError::Ended)))] {
        let mut setting = Setting::new();
        let (feed, body) = events_body();
        let mut guarded = setting.guarded(body, media, None).await;
        feed.send("data: waiting to be read\n\n");
        let grant = fixture::who(&setting.clock).verdict.access.grant;
        setting.streams.end_where(|access| access.grant == grant);
        feed.closed().await;
        assert_eq!(setting.ending(), (Ending::Revoked, Some("access_withdrawn")));
        assert!(!guarded.is_end_stream(), "it must not look like the end of the answer");
        assert_eq!(next(&mut guarded).await, expected, "{media:?}");
        assert_eq!(next(&mut guarded).await, None);
    }
}

/// Withdrawn between taking the place and the answer.
#[tokio::test]
async fn a_stream_that_was_ended_before_it_began_lets_go_at_once() {
    let mut setting = Setting::new();
    let (feed, body) = events_body();
    let entry = setting.entry().await;
    let stream = setting.stream(&entry, Media::Events, None);
    setting.streams.end_subscriptions();
    let mut guarded = Guarded::new(body, entry, Some(stream), (Ending::Answered, None));
    feed.closed().await;
    assert_eq!(next(&mut guarded).await, None);
    assert_eq!(setting.ending(), (Ending::Unavailable, Some("stopping")));
}

/// A reader that waits is woken.
#[tokio::test]
async fn a_stream_on_which_nothing_comes_ends_as_well() {
    let mut setting = Setting::new();
    let (_feed, body) = events_body();
    let mut guarded = setting.guarded(body, Media::Events, None).await;
    let (waiting, ()) = tokio::join!(next(&mut guarded), async { setting.streams.end_subscriptions() });
    assert_eq!(waiting, None);
    assert_eq!(setting.ending(), (Ending::Unavailable, Some("stopping")));
}

#[tokio::test]
async fn a_stream_that_nobody_can_vouch_for_ends_as_that() {
    let mut setting = Setting::new();
    let (_feed, body) = events_body();
    let mut guarded = setting.guarded(body, Media::Events, None).await;
    setting.streams.end_unless_low_risk();
    setting.streams.end_subscriptions();
    assert_eq!(next(&mut guarded).await, None);
    assert_eq!(setting.ending(), (Ending::Unavailable, Some("revocations_stale")), "the first cause counts");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_it_has_outlived_its_token_for_long() {
    let mut setting = Setting::new();
    let (_feed, body) = events_body();
    let mut guarded = setting.guarded(body, Media::Events, None).await;
    assert!(timeout(Duration::from_secs(4199), next(&mut guarded)).await.is_err(), "not before");
    assert_eq!(timeout(Duration::from_secs(2), next(&mut guarded)).await, Ok(None));
    assert_eq!(setting.ending(), (Ending::Outlived, Some("token_outlived")));
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let setting = Setting::new();
    let entry = setting.entry().await;
    let (first, second) = (
        setting.streams.enter(entry.who().clone(), false),
        setting.streams.enter(entry.who().clone(), false),
    );
    assert!(first.is_ok() && second.is_ok());
    assert!(setting.streams.enter(entry.who().clone(), false).is_err());
    drop(first);
    assert!(setting.streams.enter(entry.who().clone(), false).is_ok());
}

fn id(text: &str) -> RequestId {
    let message = format!(r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#);
    match protocol::mcp::McpCall::read(&http::HeaderMap::new(), message.as_bytes()).unwrap().kind {
        protocol::mcp::CallKind::Request(id) => id,
        protocol::mcp::CallKind::Notification | protocol::mcp::CallKind::Response => panic!("a request"),
    }
}

/// F-16: the request in flight is answered with an error, if it was not answered.
#[tokio::test]
async fn when_the_mcp_server_breaks_off_the_request_is_answered() {
    for (sent, media, request, expected) in [
        (&["data: 1\n\n"][..], Media::Events, Some("\"x\""), true),
        (&["data: 1\r\n", "\r\n"], Media::Events, Some("7"), true),
        (&[], Media::Events, Some("7"), true),
        (&["data: 1\n"], Media::Events, Some("7"), true),
        (&["data: {\"id\":7,\"result\":{\"a"], Media::Events, Some("7"), true),
        (&["data: {\"id\":7,\"result\":{}}\n\n"], Media::Events, Some("7"), false),
        (&["data: 1\n\n"], Media::Events, None, false),
        (&["{}\n\n"], Media::Json, Some("7"), false),
    ] {
        let mut setting = Setting::new();
        let (feed, body) = events_body();
        let mut guarded = setting.guarded(body, media, request.map(id)).await;
        for text in sent {
            feed.send(text);
            next(&mut guarded).await.unwrap().unwrap();
        }
        feed.break_off();
        let last = next(&mut guarded).await.unwrap();
        match (last, request) {
            (Ok(text), Some(id)) if expected => {
                // What went before is ended first.
                let open = sent.concat().ends_with(['1', 'a']) || sent.concat().ends_with("1\n");
                let before = if open { "\n\ndata: " } else { "data: " };
                let error = text.strip_prefix(before).and_then(|text| text.strip_suffix("\n\n")).unwrap();
                let error: serde_json::Value = serde_json::from_str(error).unwrap();
                assert_eq!(
                    (error["id"].to_string().as_str(), &error["error"]["code"]),
                    (id, &(-32603).into())
                );
            }
            (last, _) => assert_eq!((last, expected), (Err(BodyError::Cut), false), "{sent:?}"),
        }
        assert_eq!(next(&mut guarded).await, None);
        assert_eq!(setting.ending(), (Ending::Cut, Some("upstream_cut")));
    }
}

/// F-16: the same at a clean end. Where a client can come back for the rest, the rest is what it comes back for; a subscription may
/// end.
#[tokio::test]
async fn when_the_mcp_server_ends_the_stream_the_request_is_answered() {
    const NOTE: &str = "data: {\"method\":\"m\"}\n\n";
    const ANSWER: &str = "data: {\"id\":7,\"result\":{}}\n\n";
    const PRIMED: &str = "id: 1\ndata: \n\n";
    for (sent, resumable, once, is_told) in [
        (&[NOTE][..], true, true, true),
        (&[], true, true, true),
        (&[NOTE, ANSWER], true, true, false),
        (&[PRIMED, NOTE], true, true, false),
        (&[PRIMED, NOTE], false, true, true),
        (&[NOTE], false, false, false),
    ] {
        let mut setting = Setting::new();
        let (feed, body) = events_body();
        let entry = setting.entry().await;
        let stream = setting.stream(&entry, Media::Events, Some(id("7")));
        let stream = stream.resumable(resumable).answered_once(once);
        let mut guarded = Guarded::new(body, entry, Some(stream), (Ending::Answered, None));
        for text in sent {
            feed.send(text);
            assert_eq!(next(&mut guarded).await, Some(Ok((*text).to_owned())));
        }
        drop(feed);
        match next(&mut guarded).await {
            Some(Ok(text)) if is_told => {
                assert!(text.contains("\"id\":7") && text.contains("-32603"), "{text}")
            }
            last => assert_eq!((last, is_told), (None, false), "{sent:?}"),
        }
        assert_eq!(next(&mut guarded).await, None);
        let ending = if is_told { (Ending::Cut, Some("upstream_cut")) } else { (Ending::Answered, None) };
        assert_eq!(setting.ending(), ending, "{sent:?}");
    }
}

/// A body that counts how often it is asked for more, and always has more.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1024])))))
    }
}

/// F-16, PX-34: memory is flat because nothing is read that nobody asked for.
#[tokio::test]
async fn nothing_is_read_that_was_not_asked_for() {
    let mut setting = Setting::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let mut guarded = setting.guarded(Endless(Arc::clone(&asked)), Media::Events, None).await;
    tokio::task::yield_now().await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    for wanted in 1..=10 {
        next(&mut guarded).await.unwrap().unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), wanted);
    }
    drop(guarded);
    assert_eq!(setting.ending(), (Ending::ClientGone, Some("client_gone")));
    assert_eq!(setting.streams.len(), 0);
}

/// Whoever sends the body on stops asking once the length is reached.
#[tokio::test]
async fn an_answer_of_known_length_is_whole_with_its_last_byte() {
    async fn pass<B: http_body::Body<Data = Bytes> + Send + Unpin + 'static>(body: B) {
        let mut setting = Setting::new();
        let mut guarded = Guarded::new(body, setting.entry().await, None, (Ending::Answered, None));
        assert_eq!((guarded.size_hint().exact(), guarded.is_end_stream()), (Some(2), false));
        assert_eq!(next(&mut guarded).await, Some(Ok("{}".to_owned())));
        assert!(guarded.is_end_stream());
        drop(guarded);
        assert_eq!(setting.ending(), (Ending::Answered, None));
    }
    pass(Full::new(Bytes::from_static(b"{}"))).await;
    // One that does not know its own end.
    pass(fixture::json("{}").into_body()).await;
}

/// PX-34: without a stream's own end, an end all the same.
#[tokio::test(start_paused = true)]
async fn an_answer_that_stalls_is_not_waited_for_for_ever() {
    let mut setting = Setting::new();
    let (feed, body) = events_body();
    let mut guarded = Guarded::new(body, setting.entry().await, None, (Ending::Answered, None));
    feed.send("{");
    assert_eq!(next(&mut guarded).await, Some(Ok("{".to_owned())));
    assert!(timeout(Duration::from_secs(599), next(&mut guarded)).await.is_err(), "not before");
    assert_eq!(timeout(Duration::from_secs(2), next(&mut guarded)).await, Ok(Some(Err(BodyError::Cut))));
    assert_eq!(setting.ending(), (Ending::Cut, Some("upstream_stalled")));
}

#[tokio::test]
async fn an_answer_without_a_byte_is_whole_though_nobody_asks_for_one() {
    let mut setting = Setting::new();
    let guarded =
        Guarded::new(Full::<Bytes>::default(), setting.entry().await, None, (Ending::Answered, None));
    assert!(guarded.is_end_stream());
    drop(guarded);
    assert_eq!(setting.ending(), (Ending::Answered, None));
}

#[tokio::test]
async fn a_body_of_our_own_is_what_it_is() {
    let body = Body::full(Bytes::from_static(b"{}"));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
    assert!(Body::empty().is_end_stream());
}
