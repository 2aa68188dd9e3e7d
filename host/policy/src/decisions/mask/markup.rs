//! Finds secrets in the tags of XML and HTML.

use std::ops::Range;

use tidegate_core::secret::is_secret_name;

use super::text::{opening_quote, skip, skip_spaces};
use super::{is_secret_identifier, is_value_name};

/// The maximum size of a tag, in bytes. A longer one is read as text.
const MAX_TAG_SIZE: usize = 16 << 10;
/// The maximum number of attributes of a tag. One with more is read as text. Without a limit, a text that consists of
/// tags without an end would be read once for each of them.
const MAX_ATTRIBUTES: usize = 32;
/// The maximum number of tags between the tag of a value and the value.
const MAX_INNER_TAGS: usize = 8;
/// The elements of HTML without contents.
const VOID_ELEMENTS: [&str; 4] = ["input", "meta", "link", "img"];
const CDATA: &str = "<![CDATA[";

/// An opening tag.
struct Tag {
    /// The name, with the prefix of its namespace.
    name: Range<usize>,
    attributes: Vec<Attribute>,
    /// The position after the tag.
    end: usize,
    /// Whether the tag is `<name/>`.
    is_closed: bool,
}

struct Attribute {
    name: Range<usize>,
    value: Range<usize>,
}

/// Adds the secrets of the element whose opening tag is at `at`: its contents if the element has the name of a secret,
/// and the value after such a name, as in `<param name="token" value="…"/>`. Attributes with the name of a secret are
/// found like `name=value` in any text.
///
/// Returns the range from the end of the tag to the end of the secret contents, or `None` if there is no opening tag.
pub fn tag_ranges(text: &str, at: usize, ranges: &mut Vec<Range<usize>>) -> Option<Range<usize>> {
    let tag = parse_tag(text, at)?;
    let names_secret = tag.attributes.iter().any(|attribute| {
        !is_value_name(local_name(text, &attribute.name)) && is_secret_identifier(&text[attribute.value.clone()])
    });
    if names_secret {
        let values = tag.attributes.iter().filter(|attribute| is_value_name(local_name(text, &attribute.name)));
        ranges.extend(values.map(|attribute| attribute.value.clone()).filter(|value| !value.is_empty()));
    }
    let content = content(text, &tag, names_secret).filter(|content| !content.is_empty());
    ranges.extend(content.clone());
    Some(content.unwrap_or(tag.end..tag.end))
}

/// Returns the contents of the element if they are a secret.
fn content(text: &str, tag: &Tag, names_secret: bool) -> Option<Range<usize>> {
    let name = local_name(text, &tag.name);
    if tag.is_closed || VOID_ELEMENTS.iter().any(|void| name.eq_ignore_ascii_case(void)) {
        return None;
    }
    if is_secret_name(name) {
        let closing_tag = format!("</{}", &text[tag.name.clone()]);
        return Some(tag.end..text[tag.end..].find(&closing_tag).map_or(text.len(), |length| tag.end + length));
    }
    names_secret.then(|| character_data(text, tag.end))
}

/// Returns the value of a pair of elements such as `<name>token</name><value>…</value>`; `at` is the end of the name.
pub fn pair_value(text: &str, at: usize) -> Option<Range<usize>> {
    let closing_tag = text[at..].strip_prefix("</")?;
    let end = text.len() - closing_tag.len() + closing_tag.find('>')? + 1;
    let mut tag = parse_tag(text, skip_spaces(text, end))?;
    if !is_value_name(local_name(text, &tag.name)) {
        return None;
    }
    // XML-RPC has the type in between: `<value><string>…`.
    for _ in 0..MAX_INNER_TAGS {
        let Some(inner) = parse_tag(text, skip_spaces(text, tag.end)) else { break };
        tag = inner;
    }
    Some(character_data(text, tag.end))
}

/// Returns the text up to the next tag, or a section of character data.
fn character_data(text: &str, start: usize) -> Range<usize> {
    let end = match text[start..].strip_prefix(CDATA) {
        Some(data) => data.find("]]>").map(|length| CDATA.len() + length + 3),
        None => text[start..].find('<'),
    };
    start..end.map_or(text.len(), |length| start + length)
}

/// Parses the opening tag at `at`.
fn parse_tag(text: &str, at: usize) -> Option<Tag> {
    let bytes = text.as_bytes();
    let is_name = |byte: u8| !byte.is_ascii_whitespace() && !b"=<>/\"'\\".contains(&byte);
    if bytes.get(at) != Some(&b'<') || !bytes.get(at + 1)?.is_ascii_alphabetic() {
        return None;
    }
    let name = at + 1..skip(text, at + 1, is_name);
    let (mut attributes, mut position) = (vec![], name.end);
    while position - at <= MAX_TAG_SIZE && attributes.len() <= MAX_ATTRIBUTES {
        match bytes.get(position) {
            Some(b'>') => {
                let is_closed = text[..position].ends_with('/');
                return Some(Tag { name, attributes, end: position + 1, is_closed });
            }
            Some(byte) if is_name(*byte) => {
                let attribute = parse_attribute(text, position..skip(text, position, is_name));
                position = attribute.value.end;
                attributes.push(attribute);
            }
            Some(b'<') | None => return None,
            Some(_) => position += 1,
        }
    }
    None
}

/// Parses the value of an attribute. It is empty if there is none.
fn parse_attribute(text: &str, name: Range<usize>) -> Attribute {
    let equals = skip_spaces(text, name.end);
    if text.as_bytes().get(equals) != Some(&b'=') {
        return Attribute { value: name.end..name.end, name };
    }
    let start = skip_spaces(text, equals + 1);
    let value = match opening_quote(text, start) {
        Some(quote) => quote.content(text),
        None => start..skip(text, start, |byte| !byte.is_ascii_whitespace() && !b"<>".contains(&byte)),
    };
    Attribute { name, value }
}

/// Returns a name without the prefix of its namespace.
fn local_name<'a>(text: &'a str, name: &Range<usize>) -> &'a str {
    let name = &text[name.clone()];
    name.rsplit(':').next().unwrap_or(name)
}
