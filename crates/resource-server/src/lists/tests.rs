//! Lists in every shape that an MCP server may give them.

use std::sync::Arc;

use bytes::Bytes;
use protocol::mcp::RequestId;
use serde_json::{Value, json};

use super::answer::{Answered, Text, judge};
use super::sieve::Sieve;
use crate::settings::{OtherIssuer, Settings};

use super::{Item, Judged, LARGEST, List, Ours, Screen, Screened, See, Sees, UNDECIDED, Wanted};
use protocol::mcp::elicitation::ElicitationUrl;
use protocol::world::Timestamp;

/// Sees what has no `hidden` in its name, and remembers what it was asked.
#[derive(Debug, Default)]
struct Eyes(Vec<(List, String, bool)>);

impl See for Eyes {
    fn sees(&mut self, list: List, item: &Item<'_>) -> Sees {
        self.0.push((list, item.name.clone().into_owned(), item.read_only));
        if item.name.contains("hidden") {
            Sees::Nothing
        } else if item.name.contains("flawed") {
            Sees::Flawed
        } else if item.name.contains("changed") {
            Sees::Instead(r#"{ "name": "as it was" }"#.into())
        } else {
            Sees::AsItIs
        }
    }
}

fn judged(text: &str) -> Answered {
    judge(text.as_bytes(), &Wanted::default(), &mut Eyes::default())
}

fn left(text: &str) -> String {
    match judged(text).text {
        Text::Changed(text) => String::from_utf8(text).unwrap(),
        Text::Nothing => String::new(),
        Text::Untouched => text.to_owned(),
    }
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a" , "x":1.0e0},{"name":"hidden"},{"name":"b"}],"nextCursor":"c"}}"#;
const REST: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a" , "x":1.0e0},{"name":"b"}],"nextCursor":"c"}}"#;

#[test]
fn what_is_kept_is_kept_byte_for_byte() {
    assert_eq!(left(LIST), REST);
    assert_eq!(judged(REST).text, Text::Untouched);
    assert_eq!(judged(LIST).ids, [RequestId::from_json("1").unwrap()]);
    assert_eq!(judged(LIST).dropped, 0, "what is not for the reader is not suspicious");
}

#[test]
fn what_no_client_may_show_is_left_out_and_counted() {
    let text = REST.replace(r#"{"name":"b"}"#, r#"{"name":"flawed"}"#);
    assert_eq!(judged(&text).dropped, 1);
    assert!(!left(&text).contains("flawed") && left(&text).contains(r#"{"name":"a""#));
}

#[test]
fn every_kind_of_list_is_judged_by_what_is_called() {
    for (list, member, name) in [
        (List::Prompts, "prompts", "name"),
        (List::ResourceTemplates, "resourceTemplates", "uriTemplate"),
        (List::Resources, "resources", "uri"),
        (List::Tools, "tools", "name"),
    ] {
        let text = json!({"jsonrpc": "2.0", "id": "x", "result": {member: [{name: "a"}, {name: "hidden"}]}});
        let mut eyes = Eyes::default();
        let Text::Changed(anew) = judge(text.to_string().as_bytes(), &Wanted::default(), &mut eyes).text
        else {
            panic!("{member}")
        };
        let anew: Value = serde_json::from_slice(&anew).unwrap();
        assert_eq!(anew["result"][member], json!([{name: "a"}]));
        assert_eq!(eyes.0, [(list, "a".to_owned(), false), (list, "hidden".to_owned(), false)]);
    }
}

#[test]
fn the_hint_of_a_tool_is_read_and_nothing_that_looks_like_it() {
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
        {"name":"a","annotations":{"readOnlyHint":true}},
        {"name":"b","annotations":{"readOnlyHint":"true"}},
        {"name":"c","annotations":null},
        {"name":"d","readOnlyHint":true}]}}"#;
    let mut eyes = Eyes::default();
    assert_eq!(judge(text.as_bytes(), &Wanted::default(), &mut eyes).text, Text::Untouched);
    assert_eq!(eyes.0.iter().map(|(_, _, hint)| *hint).collect::<Vec<_>>(), [true, false, false, false]);
}

#[test]
fn a_page_that_becomes_empty_keeps_its_cursor() {
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"hidden"}],"nextCursor":"more"}}"#;
    assert_eq!(left(text), r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"nextCursor":"more"}}"#);
}

#[test]
fn px_25_a_list_is_never_public() {
    let text =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}],"ttlMs":5,"cacheScope":"public"}}"#;
    assert_eq!(left(text), text.replace("public", "private"));
    let text = text.replace("\"public\"", "[\"public\"]");
    assert!(!left(&text).contains("public"));
}

#[test]
fn members_that_nobody_knows_go_with_what_was_hidden() {
    let text = LIST.replace(r#""nextCursor""#, r#""all":["hidden"],"_meta":{"x":1},"nextCursor""#);
    assert!(!left(&text).contains("hidden"));
    assert!(left(&text).contains("\"_meta\":{\"x\":1}"));
    let whole = REST.replace(r#""nextCursor""#, r#""all":["b"],"nextCursor""#);
    assert_eq!(judged(&whole).text, Text::Untouched);
}

#[test]
fn px_18_what_two_readers_could_read_in_two_ways_is_taken_out() {
    for odd in [
        // A method beside a result, an answer without an id, one of no version.
        LIST.replace(r#""id":1"#, r#""id":1,"method":"notifications/message""#),
        LIST.replace(r#","id":1"#, ""),
        LIST.replace(r#""id":1"#, r#""id":null"#),
        LIST.replace(r#""id":1"#, r#""id":1.0"#),
        LIST.replace(r#""jsonrpc":"2.0","#, ""),
        LIST.replace(r#""id":1"#, r#""id":1,"error":{}"#),
        // Keys twice, or in another spelling.
        LIST.replace(r#""id":1"#, r#""id":1,"result":{}"#),
        LIST.replace(r#""id":1"#, r#""id":1,"Result":{}"#),
        LIST.replace(r#""result""#, r#""re\u0073ult""#),
        LIST.replace(r#""tools":["#, r#""tools":[],"tools":["#),
        LIST.replace(r#""tools":["#, r#""tools":[],"Tools":["#),
        LIST.replace(r#""tools""#, r#""t\u006fols""#),
        LIST.replace(r#""tools""#, "\"tool\u{17f}\""),
        LIST.replace(r#""tools""#, r#""TOOLS""#),
        LIST.replace(r#""nextCursor":"c""#, r#""prompts":[]"#),
        // No list, no JSON.
        LIST.replace("],\"next", "},\"next"),
        LIST.replace(r#"[{"name":"a""#, r#"{"x":{"name":"a""#).replace("}],\"next", "}},\"next"),
        format!("{LIST}{LIST}"),
        format!("\u{feff}{LIST}"),
        format!("{LIST} x"),
        LIST.replace(r#""jsonrpc""#, "jsonrpc"),
        LIST.trim_end_matches('}').to_owned(),
    ] {
        let answered = judged(&odd);
        assert_eq!((&answered.text, answered.dropped), (&Text::Nothing, 1), "{odd}");
    }
    assert_eq!(judge(b"\xff", &Wanted::default(), &mut Eyes::default()).text, Text::Nothing);
}

#[test]
fn px_18_an_item_without_one_name_is_taken_out_and_the_rest_stays() {
    for odd in [
        r#"{"name":"a","name":"hidden"}"#,
        r#"{"name":"a","Name":"hidden"}"#,
        r#"{"n\u0061me":"hidden"}"#,
        r#"{"title":"hidden"}"#,
        r#"{"name":["hidden"]}"#,
        r#"{"name":"a","annotations":{"readOnlyHint":false,"readOnlyHint":true},"x":"hidden"}"#,
        r#"["hidden"]"#,
        r#""hidden""#,
        "null",
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{odd},{{"name":"b"}}]}}}}"#);
        let answered = judged(&text);
        assert_eq!(answered.dropped, 1, "{odd}");
        assert_eq!(left(&text), r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"b"}]}}"#);
    }
    // An escape in a name is one name: it is judged as what it says.
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"h\u0069dden"}]}}"#;
    assert_eq!(left(text), r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
}

#[test]
fn px_18_every_message_of_a_batch_is_judged() {
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;
    assert_eq!(left(&format!("[{note}, {LIST}]")), format!("[{note},{REST}]"));
    assert_eq!(judged(&format!("[{note}, {REST}]")).text, Text::Untouched);
    assert_eq!(left(&format!("[{note},{}]", LIST.replace(r#","id":1"#, ""))), format!("[{note}]"));
    assert_eq!(judged(&format!("[[{LIST}]]")).text, Text::Nothing);
    assert_eq!(judged("[]").text, Text::Nothing);
}

#[test]
fn what_is_no_list_is_left_alone() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"tools":["hidden"]}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{}}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{}}"#,
    ] {
        assert_eq!(judged(text).text, Text::Untouched, "{text}");
    }
}

fn list() -> Wanted {
    Wanted { list: Some(List::Tools), ..asked("1") }
}

fn asked(id: &str) -> Wanted {
    Wanted { id: RequestId::from_json(id), ..Wanted::default() }
}

/// What goes on of these pieces, and how much was dropped.
fn sifted(wanted: Wanted, pieces: &[&[u8]]) -> (String, u32) {
    let (mut sieve, mut eyes) = (Sieve::new(wanted), Eyes::default());
    let (mut out, mut dropped) = (Vec::new(), 0);
    for piece in pieces {
        let sifted = sieve.push(&Bytes::copy_from_slice(piece), &mut eyes);
        out.extend_from_slice(&sifted.bytes);
        dropped += sifted.dropped;
    }
    let rest = sieve.end(false);
    out.extend_from_slice(&rest.bytes);
    (String::from_utf8(out).unwrap(), dropped + rest.dropped)
}

const NOTE: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"x\"}}\n\n";

/// A list in the shapes that a stream can give it.
fn shapes() -> Vec<String> {
    let broken = LIST.replace(",\"result\"", ",\ndata:\"result\"");
    vec![
        format!("data: {LIST}\n\n"),
        format!("data:{LIST}\n\n"),
        format!("data: {LIST}\r\n\r\n"),
        format!("data: {LIST}\r\r"),
        format!("\u{feff}data: {LIST}\n\n"),
        format!("{NOTE}data: {LIST}\n\n"),
        format!(": hello\n\nid: 7\nevent: message\ndata: {LIST}\nretry: 5\n\n"),
        format!("data: {broken}\n\n"),
        format!("data: {}\r\n\r\n", broken.replace('\n', "\r\n")),
        format!("data: [{LIST}]\n\n"),
        format!("id: 1\ndata:\n\ndata: {LIST}\n\n"),
    ]
}

#[test]
fn px_18_a_list_is_judged_in_every_shape_on_every_stream_and_however_it_is_cut() {
    for shape in shapes() {
        for wanted in [list(), Wanted::default()] {
            let (whole, dropped) = sifted(wanted.clone(), &[shape.as_bytes()]);
            assert!(!whole.contains("hidden") && whole.contains("{\"name\":\"a\" , \"x\":1.0e0}"), "{whole}");
            assert_eq!(dropped, 0, "{shape}");
            for cut in 0..shape.len() {
                let (one, two) = shape.as_bytes().split_at(cut);
                let (cut_out, _) = sifted(wanted.clone(), &[one, two]);
                assert_eq!(read(&cut_out), read(&whole), "{shape} cut at {cut}");
            }
            let bytes: Vec<&[u8]> = shape.as_bytes().chunks(1).collect();
            assert_eq!(read(&sifted(wanted.clone(), &bytes).0), read(&whole), "{shape}");
        }
    }
}

fn read(stream: &str) -> Vec<Vec<u8>> {
    crate::readers::events(&[stream.as_bytes()])
}

#[test]
fn a_list_that_is_seen_whole_goes_on_as_it_came() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!("id: 7{end}data: {REST}{end}{end}data: {REST}{end}{end}");
        for wanted in [list(), Wanted::default()] {
            assert_eq!(sifted(wanted, &[stream.as_bytes()]), (stream.clone(), 0));
        }
    }
}

#[test]
fn px_18_suspicious_events_do_not_go_on() {
    for odd in [
        LIST.replace(r#""id":1"#, r#""id":1,"method":"x""#),
        LIST.replace(r#","id":1"#, ""),
        LIST.replace(r#""tools""#, r#""t\u006fols""#),
        LIST.replace(r#""tools""#, "\"tool\u{17f}\""),
        LIST.replace(r#""tools":["#, r#""tools":[],"tools":["#),
        LIST.replace("}}", "}"),
        format!("\u{feff}{LIST}"),
        format!("{{}}{LIST}"),
    ] {
        let stream = format!("{NOTE}data: {odd}\n\n{NOTE}");
        let (out, dropped) = sifted(Wanted::default(), &[stream.as_bytes()]);
        assert_eq!((out.as_str(), dropped), ([NOTE, NOTE].concat().as_str(), 1), "{odd}");
        let (out, dropped) = sifted(list(), &[stream.as_bytes()]);
        let rest = out.strip_prefix(&[NOTE, NOTE].concat()).unwrap();
        assert!(rest.contains("cannot be read") && rest.contains("\"id\":1"), "who waits is told: {out}");
        assert_eq!(dropped, 1, "{odd}");
    }
    // Where a list is expected, what is no JSON at all does not go on, nor do fields that nobody knows.
    let stream = format!("data: no json, hidden\n\nhidden: {LIST}\n: hidden\nid: 1\ndata: {REST}\n\n");
    let (out, dropped) = sifted(list(), &[stream.as_bytes()]);
    assert_eq!((out, dropped), (format!(":\nid: 1\ndata: {REST}\n\n"), 1));
}

#[test]
fn px_18_a_list_of_ten_megabytes_is_refused_in_words() {
    let long = LIST.replace("\"x\":1.0e0", &format!("\"x\":\"{}\"", "x".repeat(10 * 1024 * 1024)));
    let stream = format!("{NOTE}data: {long}\n\n{NOTE}");
    let pieces: Vec<&[u8]> = stream.as_bytes().chunks(16 * 1024).collect();
    let (out, dropped) = sifted(list(), &pieces);
    let error = out.strip_prefix(NOTE).and_then(|rest| rest.strip_suffix(NOTE)).unwrap();
    assert!(error.contains("too large to be judged") && error.contains("\"id\":1"), "{error}");
    assert_eq!(dropped, 1);
    let (out, dropped) = sifted(Wanted::default(), &pieces);
    assert_eq!((out, dropped), ([NOTE, NOTE].concat(), 1));
}

#[test]
fn px_18_a_list_deep_inside_a_long_event_does_not_go_on() {
    let long = LIST.replace("\"tools\"", &format!("\"_meta\":\"{}\",\"tools\"", "x".repeat(64 * 1024)));
    let stream = format!("data: {long}\n\n{NOTE}");
    let pieces: Vec<&[u8]> = stream.as_bytes().chunks(1024).collect();
    let (out, dropped) = sifted(Wanted::default(), &pieces);
    assert!(!out.contains("hidden") && out.ends_with(&format!("\n\n{NOTE}")), "{} bytes", out.len());
    assert_eq!(dropped, 1);
    let events = read(&out);
    assert!(serde_json::from_slice::<Value>(&events[0]).is_err(), "nobody can take it for a message");
}

#[test]
fn what_is_no_list_goes_on_as_it_came_and_is_not_kept_back() {
    let long = format!(
        "data: {{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{{\"content\":\"{}\"}}}}\n\n",
        "x".repeat(LARGEST + 7)
    );
    let mut sieve = Sieve::new(Wanted::default());
    let (mut sent, mut come) = (0, 0);
    for piece in long.as_bytes().chunks(64 * 1024).map(Bytes::copy_from_slice) {
        let out = sieve.push(&piece, &mut Eyes::default()).bytes;
        sent += piece.len();
        come += out.len();
        assert_eq!(sent, come);
        assert!(sent == piece.len() || out.as_ptr() == piece.as_ptr(), "nothing is copied");
    }
    for text in [
        NOTE,
        ":\n\n",
        "\n",
        "id: 7\ndata:\n\n",
        "event: x\ndata\n\n",
        "data: {\"x\":[1,{\"tools\":[]}]}\n\n",
    ] {
        let piece = Bytes::from(text.repeat(3));
        let out = Sieve::new(Wanted::default()).push(&piece, &mut Eyes::default());
        assert_eq!((&out.bytes, out.dropped), (&piece, 0));
        assert_eq!(out.bytes.as_ptr(), piece.as_ptr(), "{text}");
    }
}

/// What is no list although it is called so is not passed on, and nobody waits for it.
#[test]
fn px_18_whoever_waits_for_an_answer_that_cannot_be_read_is_told() {
    for result in
        [r#"{"content":[],"resources":{"cpu":2}}"#, r#"{"tools":[],"resources":[]}"#, r#"{"Tools":[]}"#]
    {
        let stream = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{result}}}\n\n{NOTE}");
        let mut sieve = Sieve::new(asked("7"));
        let out = sieve.push(&Bytes::from(stream.clone()), &mut Eyes::default());
        let (out, dropped) = (String::from_utf8(out.bytes.to_vec()).unwrap(), out.dropped);
        let events = read(&out);
        let told: Value = serde_json::from_slice(&events[0]).unwrap();
        assert_eq!((&told["id"], &told["error"]["code"], dropped), (&json!(7), &json!(-32603), 1), "{out}");
        assert!(out.ends_with(NOTE) && !out.contains("cpu"));
    }
}

const SENT_AWAY: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"javascript:alert(1)","message":"m"}}}}}"#;
const HONEST: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"https://tracker.example/x","message":"m"}}}}}"#;

/// What goes on of a JSON text that comes in these pieces; `None` if it is cut off.
fn screened(pieces: &[&str]) -> Option<String> {
    let mut screen = screen();
    let mut out = String::new();
    for (place, piece) in pieces.iter().enumerate() {
        let piece = Bytes::copy_from_slice(piece.as_bytes());
        match screen.push(piece, place + 1 == pieces.len()) {
            Screened::Cut => return None,
            Screened::Hold => {}
            Screened::Pass(bytes) => out.push_str(std::str::from_utf8(&bytes).unwrap()),
            Screened::Judge(text) => {
                let length = text.len();
                let Judged { bytes, .. } = screen.judge(text, &mut Asker(Ours::at("https://gate.example")));
                assert_eq!(bytes.len(), length, "its length may have been told");
                out.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
    }
    Some(out)
}

fn screen() -> Screen {
    Screen::new(&Ours::at("https://gate.example"), Timestamp::from_micros(0), asked("7"))
}

/// Sees what has no `hidden` in its name, and knows the pages of this house.
#[derive(Debug)]
struct Asker(Arc<Ours>);

impl See for Asker {
    fn sees(&mut self, list: List, item: &Item<'_>) -> Sees {
        Eyes::default().sees(list, item)
    }

    fn is_ours(&self, url: &ElicitationUrl) -> bool {
        self.0.is_ours(url)
    }
}

#[test]
fn px_41_a_text_is_judged_wherever_it_is_cut_and_what_takes_its_place_is_as_long() {
    for at in 0..SENT_AWAY.len() {
        let (one, two) = SENT_AWAY.split_at(at);
        let out = screened(&[one, two]).unwrap();
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&told["id"], &told["error"]["code"]), (&json!(7), &json!(-32603)), "{out}");
        assert_eq!(out.len(), SENT_AWAY.len());
        assert_eq!(screened(&[one, two, ""]).unwrap().len(), SENT_AWAY.len());
    }
    for at in 0..HONEST.len() {
        let (one, two) = HONEST.split_at(at);
        assert_eq!(screened(&[one, two]).as_deref(), Some(HONEST));
    }
    let short = r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"data":{"elicitations":[{"url":"x:"}]}}}"#;
    assert!(screened(&[short]).unwrap().contains("Refused."));
}

#[test]
fn px_41_a_question_so_far_inside_that_it_cannot_be_called_back_is_cut_off() {
    let filled = |text: &str| {
        text.replace("\"result\":{", &format!("\"result\":{{\"x\":\"{}\",", "y".repeat(UNDECIDED)))
    };
    let long = filled(SENT_AWAY);
    let (one, two) = long.split_at(UNDECIDED + 50);
    assert_eq!(screened(&[one, two]), None);
    assert!(screened(&[&long]).is_some_and(|out| !out.contains("javascript")), "whole, it is judged");
    let plain = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#
        .replace("[]", &format!("[\"{}\"]", "z".repeat(UNDECIDED)));
    let (one, two) = plain.split_at(UNDECIDED + 50);
    assert_eq!(screened(&[one, two]).as_deref(), Some(plain.as_str()));
}

/// Readers of Python find out by themselves in which encoding a text is.
#[test]
fn px_41_a_question_in_another_encoding_is_not_passed_on() {
    let little: Vec<u8> = SENT_AWAY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = SENT_AWAY.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let widest: Vec<u8> = SENT_AWAY.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect();
    let marked = |mark: &[u8], text: &[u8]| [mark, text].concat();
    for text in [
        marked(&[0xff, 0xfe], &little),
        marked(&[0xfe, 0xff], &big),
        marked(&[0xff, 0xfe, 0, 0], &widest),
        marked(b" \0\n\0", &little),
        little,
        big,
        widest,
    ] {
        for at in [0, 1, 2, 3, 60] {
            let mut screen = screen();
            let (one, two) = text.split_at(at);
            let held = screen.push(Bytes::copy_from_slice(one), false);
            assert!(
                matches!(&held, Screened::Hold) || matches!(&held, Screened::Pass(none) if none.is_empty())
            );
            let Screened::Judge(whole) = screen.push(Bytes::copy_from_slice(two), true) else {
                panic!("{text:?} cut at {at}")
            };
            let told = screen.judge(whole, &mut Eyes::default()).bytes;
            let told: Value = serde_json::from_slice(&told).unwrap();
            assert_eq!(told["error"]["code"], -32603);
        }
    }
}

#[test]
fn px_18_what_does_not_go_on_and_has_no_end_is_not_read_for_ever() {
    for wanted in [list(), asked("1")] {
        let mut sieve = Sieve::new(wanted);
        let mut read = 0;
        let start = Bytes::from_static(b"data: garbage ");
        let mut sifted = sieve.push(&start, &mut Eyes::default());
        while !sifted.endless && read < 16 * LARGEST {
            let piece = Bytes::from(vec![b'x'; 64 * 1024]);
            read += piece.len();
            sifted = sieve.push(&piece, &mut Eyes::default());
        }
        assert!(sifted.endless && read < 10 * LARGEST, "{read}");
    }
}

/// F-16: of a line that is not judged before its end no more is kept than a line may hold.
#[test]
fn f_16_a_line_that_is_no_data_and_has_no_end_is_not_kept() {
    let long = format!("data: {}\n", "x".repeat(2 * UNDECIDED)).replacen('x', "{\"", 1);
    for begin in ["", long.as_str()] {
        for line in ["id: ", "event:", "retry: ", "A", "data", ": ", "eventide"] {
            let mut sieve = Sieve::new(asked("1"));
            let mut read = 0;
            let start = Bytes::from(format!("{begin}{line}"));
            let mut sifted = sieve.push(&start, &mut Eyes::default());
            while !sifted.endless && read < 16 * LARGEST {
                let piece = Bytes::from(vec![b'x'; 64 * 1024]);
                read += piece.len();
                sifted = sieve.push(&piece, &mut Eyes::default());
                assert!(sifted.bytes.len() < LARGEST, "{line}");
            }
            assert!(sifted.endless && read < 10 * LARGEST, "{line}: {read}");
        }
    }
}

/// Readers of Python have broken lines at U+2028 and others: what is a string to one is two events to another.
#[test]
fn px_18_what_is_json_to_nobody_carries_no_list_to_who_breaks_lines_elsewhere() {
    let inner = r#"data: {"jsonrpc":"2.0","id":3,"result":{"tools":[{"name":"hidden"}]}}"#;
    for end in ['\u{2028}', '\u{85}', '\u{b}', '\u{c}', '\u{1c}'] {
        let text = format!(r#"{{"x":{{"y":"{end}event: x{end}{end}{inner}{end}{end}"}}}}"#);
        let stream = format!("data: {text}\n\n");
        for size in [1, 9, 4_000] {
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            assert!(!sifted(asked("1"), &pieces).0.contains("hidden"), "{end:?}, pieces of {size}");
        }
    }
}

/// A line that is not to go on costs the event nothing: an id with a bracket, words in a comment.
#[test]
fn what_stands_beside_an_answer_does_not_take_it_along() {
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":"{}"}}}}"#, "x".repeat(2 * LARGEST));
    for (line, left) in [
        ("id: 2026-11-27 10:00:00", None),
        ("id: {hidden", Some("")),
        (": hidden", Some(":\n")),
        ("hidden", Some("")),
    ] {
        for stream in [format!("{line}\ndata: {large}\n\n"), format!("data: {large}\n{line}\n\n")] {
            for size in [5, 1_000, 100_000] {
                // Pieces that begin small, so that lines are cut.
                let (begin, rest) = stream.as_bytes().split_at(100);
                let pieces: Vec<&[u8]> = begin.chunks(size).chain(rest.chunks(100_000)).collect();
                let (out, dropped) = sifted(asked("1"), &pieces);
                let expected = left.map(|left| stream.replace(&format!("{line}\n"), left));
                assert!(out == expected.unwrap_or_else(|| stream.clone()), "{line}, pieces of {size}");
                assert_eq!(dropped, 0, "{line}");
            }
        }
    }
}

/// Whoever asked for something else than a list, and had it cut off, is told.
#[test]
fn f_16_an_answer_that_was_cut_off_is_answered() {
    let pad = "x".repeat(2 * UNDECIDED);
    let stream = format!(
        "data: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"content\":\"{pad}\",\"resources\":[]}}}}\n\n"
    );
    let pieces: Vec<&[u8]> = stream.as_bytes().chunks(1_000).collect();
    let (out, dropped) = sifted(asked("1"), &pieces);
    assert!(out.ends_with("}\n\n") && out.contains(r#""id":1,"error":{"code":-32603"#), "{out}");
    assert_eq!(dropped, 1);
}

/// The tools that a model may use for an MCP server are no list of it, wherever in a long request they stand.
#[test]
fn a_request_for_words_of_a_model_keeps_its_tools() {
    let said = "z".repeat(3 * UNDECIDED);
    let of = |method: &str| {
        format!(
            r#"{{"method":"{method}","params":{{"messages":["{said}"],"tools":[{{"name":"hidden"}}]}},"jsonrpc":"2.0","id":7}}"#
        )
    };
    let stream = format!("data: {}\n\n", of("sampling/createMessage"));
    for size in [100, 5_000, 200_000] {
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        assert_eq!(sifted(asked("1"), &pieces), (stream.clone(), 0), "pieces of {size}");
    }
    for other in ["notifications/tools", "sampling/createMessage\",\"method\":\"notifications/tools"] {
        let told = format!("data: {}\n\n", of(other));
        let pieces: Vec<&[u8]> = told.as_bytes().chunks(700).collect();
        assert!(!sifted(asked("1"), &pieces).0.contains("hidden"), "{other}");
    }
}

#[test]
fn px_18_a_line_behind_data_that_has_gone_on_already_carries_nothing_past() {
    let data =
        format!(r#"{{"jsonrpc":"2.0","id":2,"result":{{"content":"{}"}}}}"#, "x".repeat(2 * UNDECIDED));
    for (line, is_there) in [
        (": hidden", false),
        ("id: {\"hidden\"}", false),
        ("retry: hidden", false),
        ("event: \"hidden\"", false),
        ("hidden", false),
        ("hidden: x", false),
        ("id: 7", true),
        ("retry: 7", true),
        ("event: message", true),
        (":", true),
    ] {
        let stream = format!("data: {data}\n{line}\n\n{NOTE}");
        for size in 1..40 {
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size * 7).collect();
            let (out, _) = sifted(asked("2"), &pieces);
            assert!(!out.contains("hidden"), "{line}");
            assert_eq!(read(&out)[0], data.as_bytes(), "{line}, pieces of {size}");
            // Of another kind it is another event: what was cut may have been the answer.
            let told = out.strip_suffix(NOTE).is_none();
            assert_eq!(told, line.starts_with("event: \""), "{line}");
            assert!(out.contains(&format!("\n\n{NOTE}")), "{line}");
            assert_eq!(out == stream, is_there, "{line}");
        }
    }
}

#[test]
fn px_41_a_form_that_can_be_read_in_two_ways_is_not_passed_on() {
    let asked = |schema: &str| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":7,"result":{{"inputRequests":{{"a":{{"method":"elicitation/create","params":{{"message":"m","requestedSchema":{schema}}}}}}}}}}}"#
        );
        screened(&[&text]).unwrap().contains("requestedSchema")
    };
    assert!(asked(
        r#"{"type":"object","properties":{"name":{"type":"string","title":"Name"}},"required":["name"]}"#
    ));
    for odd in [
        r#"{"properties":{"password":{"type":"string"}},"properties":{"x":{}}}"#,
        r#"{"properties":{"x":{"title":"Password","title":"Colour","type":"string"}}}"#,
        r#"{"Properties":{"password":{"type":"string"}}}"#,
        r#"{"properties":{"x":{"type":"string","Title":"Password"}}}"#,
        r#"{"properties":{"x":{"type":"boolean","Type":"string","title":"Password"}}}"#,
        r#"{"properties":{"pin":{"type":"integer"}}}"#,
        "[]",
    ] {
        assert!(!asked(odd), "{odd}");
    }
}

#[test]
fn px_18_a_list_in_a_json_text_that_answers_something_else_is_judged_and_as_long() {
    let spaces = |text: &str| format!("{text}{}", " ".repeat(LIST.len() - REST.len()));
    assert_eq!(screened(&[LIST]), Some(spaces(REST)));
    assert_eq!(screened(&[REST]).as_deref(), Some(REST), "byte for byte");
    for at in 0..LIST.len() {
        let (one, two) = LIST.split_at(at);
        assert_eq!(screened(&[one, two]), Some(spaces(REST)), "cut at {at}");
    }
    let own = LIST.replace("\"id\":1", "\"id\":7");
    let done = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    for odd in [
        own.replace("\"tools\"", "\"Tools\""),
        own.replace("\"tools\":[", "\"prompts\":[],\"tools\":["),
        own.replace("\"result\":", "\"result\":[").replace("}}", "}]}"),
        r#"{"jsonrpc":"2.0","id":1,"result":["hidden","hidden","hidden","hidden","hidden","hidden"]}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","id":7,"result":"hidden, hidden, hidden, hidden, hidden, hidden, hidden"}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":{"tools":["hidden","hidden"]}}}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":{"result":{"tools":["hidden"]}}}}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"tools":["hidden"]}}"#
            .to_owned(),
        format!("{done}\n{LIST}"),
        format!("{done}data: {LIST}\n\n"),
        format!("data: {LIST}\n\n"),
        format!("hidden {LIST}"),
        json!(LIST).to_string(),
    ] {
        let out = screened(&[&odd]).unwrap();
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&told["id"], &told["error"]["code"]), (&json!(7), &json!(-32603)), "{odd}: {out}");
    }
    let batch = screened(&[&format!("[{LIST},{done}]")]).unwrap();
    assert_eq!(batch.trim_end(), format!("[{REST},{done}]"));
    // What went on already ends before the second text does.
    assert_eq!(screened(&[done, LIST]), None);
    assert_eq!(screened(&["hidden"]).as_deref(), Some("      "), "no word has room");
    // Who called may be told of tools by an error: it is no list.
    let told = r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m","data":{"tools":["hidden"]}}}"#;
    assert_eq!(screened(&[told]).as_deref(), Some(told));
}

#[test]
fn px_41_the_client_of_a_stream_is_told_once_that_its_answer_will_not_come() {
    let question = r#"{"jsonrpc":"2.0","id":"s","method":"elicitation/create","params":{"mode":"url","url":"file:///x"}}"#;
    let mut sieve = Sieve::new(asked("7"));
    let mut ours = Asker(Ours::at("https://gate.example"));
    let stream = Bytes::from(format!(
        "data: {question}\n\ndata: {question}\n\ndata: {SENT_AWAY}\n\ndata: {HONEST}\n\n"
    ));
    let sifted = sieve.push(&stream, &mut ours);
    let out = String::from_utf8(sifted.bytes.to_vec()).unwrap();
    assert_eq!((out.matches("-32603").count(), sifted.dropped), (1, 2), "{out}");
    assert!(
        !out.contains("tracker.example") && !out.contains("file:"),
        "one answer, and no second one: {out}"
    );
}

#[test]
fn px_41_the_pages_of_a_house_that_moved_are_its_own_under_each_name() {
    let mut settings = Settings::new("https://new.example".to_owned(), Vec::new());
    settings.pages_url = "https://pages.example".to_owned();
    settings.other_issuers = vec![OtherIssuer { issuer: "https://old.example".to_owned(), until: None }];
    let ours = Ours::of(&settings);
    for (place, is_ours) in [("new", true), ("pages", true), ("old", true), ("other", false)] {
        let url = format!("https://{place}.example/device?user_code=ABCD-EFGH");
        let asked = json!({ "jsonrpc": "2.0", "id": "s", "method": "elicitation/create",
            "params": { "mode": "url", "message": "Sign in.", "elicitationId": "e", "url": url } });
        let text = format!("data: {asked}\n\n");
        let out = Sieve::new(Wanted::default())
            .push(&Bytes::from(text.clone()), &mut Asker(Arc::clone(&ours)))
            .bytes;
        assert_eq!(out == text, !is_ours, "{place}");
    }
}
