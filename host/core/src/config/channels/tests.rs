use std::sync::Mutex;

use super::super::{Config, Parser, reader};
use super::*;
use crate::notify::SendFuture;
use crate::{ManualClock, Notification, Secret, Timestamp};

/// A channel with a setting and a secret. It cannot be opened if the number is 0.
#[derive(Debug, PartialEq)]
struct Pager {
    number: u64,
    key: Secret,
}

impl Pager {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let number = section.required("number", reader::integer(0..=999));
        let key = section.required_secret("key");
        Some(Self { number: number?, key: key? })
    }
}

impl Channel for Pager {
    fn open(&self, context: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        if self.number == 0 {
            return Err(ChannelError::new("0 is not a pager"));
        }
        assert_eq!(context.clock().unix_ms(), 7);
        Ok(Arc::new(NoNotifier))
    }
}

struct NoNotifier;

impl Notifier for NoNotifier {
    fn send<'a>(&'a self, _: &'a Notification) -> SendFuture<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn kinds() -> ChannelKinds {
    let kinds = ChannelKinds::new().register("pager", Pager::read).register("siren", Pager::read);
    kinds.unavailable("email", "requires the feature `email` of the crate `tidegate-notify`")
}

#[test]
fn unknown_kinds_are_accepted_on_request_but_cannot_be_opened() {
    let parse = |kinds: &ChannelKinds, text: &str| Parser::new().channel_kinds(kinds).parse(text);
    let text = "[channels.a]\nkind = 'fax'\nto = 5\n[channels.b]\nkind = 'email'\n[channels.c]\nkind = 'pager'\n\
                number = 7\nkey = 'k'";
    assert_eq!(parse(&kinds(), text).unwrap_err().iter().len(), 2);
    let config = parse(&kinds().accept_unknown(), text).unwrap();
    let context = ChannelContext::new(Arc::new(ManualClock::new(Timestamp::from_micros(7_000))));
    let is_open = |name| config.channels[name].open(&context).is_ok();
    assert_eq!((is_open("a"), is_open("b"), is_open("c")), (false, false, true));
    assert_eq!(config.channels["a"].kind(), "fax");
    // A known kind is still checked, and so is a missing one.
    for text in ["[channels.a]\nkind = 'pager'\nnumber = 7", "[channels.a]\nto = 5"] {
        assert!(parse(&kinds().accept_unknown(), text).is_err(), "{text}");
    }
}

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let config = Parser::new().channel_kinds(&kinds()).parse(text);
    config.map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
}

fn ops(kind: &str, number: u64) -> ChannelConfig {
    let text = format!("[channels.ops]\nkind = '{kind}'\nnumber = {number}\nkey = 'hunter2'");
    parse(&text).unwrap().channels.remove("ops").unwrap()
}

#[test]
fn registered_kind_reads_its_own_section() {
    let channel = ops("pager", 5);
    assert_eq!(channel.kind(), "pager");
    assert_eq!(channel, ChannelConfig::new("pager", Pager { number: 5, key: Secret::new("hunter2") }));
}

#[test]
fn channels_are_equal_if_kind_and_settings_are_equal() {
    assert_eq!(ops("pager", 5), ops("pager", 5).clone());
    assert_ne!(ops("pager", 5), ops("pager", 6));
    assert_ne!(ops("pager", 5), ops("siren", 5));
    let notifier: Arc<dyn Notifier> = Arc::new(NoNotifier);
    let custom = ChannelConfig::from_notifier(Arc::clone(&notifier));
    assert_eq!(custom, ChannelConfig::from_notifier(notifier));
    assert_ne!(custom, ChannelConfig::from_notifier(Arc::new(Mutex::new(NoNotifier))));
    assert_ne!(ChannelConfig::new("custom", Pager { number: 1, key: Secret::new("") }), custom);
}

impl Notifier for Mutex<NoNotifier> {
    fn send<'a>(&'a self, _: &'a Notification) -> SendFuture<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[test]
fn channel_is_opened_with_the_clock_of_the_program_or_says_why_not() {
    let context = ChannelContext::new(Arc::new(ManualClock::new(Timestamp::from_micros(7_000))));
    assert!(ops("pager", 5).open(&context).is_ok());
    assert_eq!(ops("pager", 0).open(&context).err().unwrap().to_string(), "0 is not a pager");
}

#[test]
fn secrets_of_channels_are_never_shown() {
    let shown = format!("{:?}", ops("pager", 5));
    assert!(shown.contains("number: 5") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn mistakes_of_every_kind_are_reported_together() {
    let text = "[channels.a]\nkind = 'pagr'\nanything = 1\n[channels.b]\nnumber = 5\n[channels.c]\nkind = 'pager'\n\
                number = 1000\nnumbr = 2\n[channels.d]\nkind = 'email'\nhost = 'x'\n[channels.e]\nkind = 'carrier-pigeon'\n\
                [channels.f]\nkind = 5\n";
    let registered = "this program registers `pager` and `siren`";
    let expected = [
        &format!("2:8: channels.a.kind: unknown channel kind `pagr` (did you mean `pager`?); {registered}"),
        "4:11: channels.b: `kind` is missing",
        "6:11: channels.c: `key` is missing; give `key`, `key_env` or `key_file`",
        "8:10: channels.c.number: expected a whole number from 0 to 999, found 1000",
        "9:1: channels.c: unknown key `numbr` (did you mean `number`?)",
        "11:8: channels.d.kind: the channel kind `email` requires the feature `email` of the crate `tidegate-notify`",
        &format!("14:8: channels.e.kind: unknown channel kind `carrier-pigeon`; {registered}"),
        "16:8: channels.f.kind: expected a string in quotes, found an integer",
    ];
    assert_eq!(parse(text).unwrap_err(), expected);
}

#[test]
fn unknown_kind_is_rejected_with_the_kinds_of_the_program() {
    let message = |kinds: &ChannelKinds| kinds.unknown_kind("x");
    let kinds = ChannelKinds::new();
    assert_eq!(message(&kinds), "unknown channel kind `x`; this program registers no channel kinds");
    let kinds = kinds.register("beeper", Pager::read);
    assert_eq!(message(&kinds), "unknown channel kind `x`; this program registers only `beeper`");
    let kinds = kinds.register("pager", Pager::read).register("console", Pager::read);
    assert_eq!(message(&kinds), "unknown channel kind `x`; this program registers `beeper`, `console` and `pager`");
    assert_eq!(format!("{kinds:?}"), r#"{"beeper", "console", "pager"}"#);
    let kinds = kinds.unavailable("console", "is gone").unavailable("pager", "is gone");
    assert_eq!(message(&kinds), "unknown channel kind `x`; this program registers only `beeper`");
}
