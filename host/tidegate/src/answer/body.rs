//! A body as a tree, whatever it is written in; what is too long or no such text is no tree.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// The longest body that is read for an error; those of platforms have some hundred bytes.
const MAX_BODY: usize = 64 * 1024;
/// The deepest that elements stand in each other.
const MAX_DEPTH: usize = 32;

/// The tree in a body: of JSON as it is, of XML the root's content, each element a text or an object.
pub fn parse(body: &[u8]) -> Option<Value> {
    if body.len() > MAX_BODY {
        return None;
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first == b'<' { xml(std::str::from_utf8(body).ok()?) } else { serde_json::from_slice(body).ok() }
}

/// XML as objects of texts: attributes are left out, and of elements of one name the first counts.
fn xml(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().trim_text(true);
    // Elements that are open, each with its name, its children and its text.
    let mut open = vec![(String::new(), Map::new(), String::new())];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() <= MAX_DEPTH => {
                open.push((name(start.local_name().as_ref()), Map::new(), String::new()))
            }
            Event::Start(_) => return None,
            Event::Text(words) => open.last_mut()?.2.push_str(&words.decode().ok()?),
            Event::CData(words) => open.last_mut()?.2.push_str(&words.decode().ok()?),
            Event::GeneralRef(entity) => open.last_mut()?.2.push_str(character(&entity.decode().ok()?)?.as_str()),
            Event::End(_) => {
                let (name, children, words) = open.pop()?;
                let value = if children.is_empty() { Value::String(words) } else { Value::Object(children) };
                open.last_mut()?.1.entry(name).or_insert(value);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let (_, mut root, _) = open.pop().filter(|_| open.is_empty())?;
    // TOP's root is the error itself; eBay's root is the answer, with the errors in it.
    match root.values_mut().next()?.take() {
        Value::Object(inside) if inside.contains_key("Errors") => Some(Value::Object(inside)),
        value => {
            let name = root.keys().next()?.clone();
            Some(Value::Object([(name, value)].into_iter().collect()))
        }
    }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One of the entities that every XML has, or a character by its number.
fn character(entity: &str) -> Option<String> {
    let known = quick_xml::escape::resolve_predefined_entity(entity).map(str::to_owned);
    known.or_else(|| {
        let number = entity.strip_prefix('#')?;
        let code = match number.strip_prefix('x') {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
            None => number.parse().ok()?,
        };
        char::from_u32(code).map(String::from)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn xml_is_read_as_objects_of_texts() {
        let rows = [
            (
                "<?xml version=\"1.0\" encoding=\"utf-8\" ?><error_response><args list=\"true\"><arg><key>a</key></arg></args>\
                 <code>7</code><sub_msg>ban &lt;1&gt; &#65;</sub_msg></error_response>",
                json!({ "error_response": { "args": { "arg": { "key": "a" } }, "code": "7", "sub_msg": "ban<1>A" } }),
            ),
            ("<r><Errors><ErrorCode>931</ErrorCode></Errors></r>", json!({ "Errors": { "ErrorCode": "931" } })),
            ("<a><b>1</b><b>2</b></a>", json!({ "a": { "b": "1" } })),
            ("<a><![CDATA[<x>]]></a>", json!({ "a": "<x>" })),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_broken_too_long_or_too_deep_is_no_tree() {
        let deep = |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
        let rows = [
            String::new(),
            " ".repeat(100),
            "<a><b></a>".to_owned(),
            "<a>".to_owned(),
            "<a>&unknown;</a>".to_owned(),
            "{\"a\": 1".to_owned(),
            "{\"a\": 1e999}".to_owned(),
            deep("[", "]", 10_000),
            deep("<a>", "</a>", MAX_DEPTH + 1),
            format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_BODY)),
        ];
        for text in rows {
            assert_eq!(parse(text.as_bytes()), None, "{text:.60}");
        }
        assert_eq!(parse(b"{\"a\": \"\xff\"}"), None);
        assert_eq!(parse(b"<a>\xff</a>"), None);
        assert!(parse(deep("<a>", "</a>", MAX_DEPTH).as_bytes()).is_some());
        assert!(parse(b"\xef\xbb\xbf{\"a\": 1}").is_some(), "a byte order mark is no letter");
    }
}
