//! Extracts errors from XML: the format of Taobao Open Platform (unless JSON is requested) and of eBay's older APIs.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::extract::{ErrorExtractor, PathCursor};

/// An element whose end tag has not been read yet.
struct OpenElement {
    /// The position of the element; empty if no path leads through it.
    cursor: PathCursor,
    /// If the element is a field: the text so far.
    text: Option<String>,
}

/// Reads up to the first syntax error or the end of a truncated body; errors found before that point are kept.
///
/// Entities that the document declares are not expanded, so an entity bomb has no effect.
pub fn read(text: &str, extractor: &mut ErrorExtractor<'_>) {
    let mut reader = Reader::from_str(text);
    let mut open = vec![OpenElement { cursor: extractor.root(), text: None }];
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                let element = start_element(extractor, &open, &start);
                open.push(element);
            }
            Event::Empty(start) => {
                let element = start_element(extractor, &open, &start);
                end_element(extractor, &element);
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    end_element(extractor, &element);
                }
            }
            Event::Text(text) => append_text(&mut open, &text.xml_content().unwrap_or_default()),
            Event::CData(text) => append_text(&mut open, &text.xml_content().unwrap_or_default()),
            Event::GeneralRef(name) => append_text(&mut open, &resolve(&name)),
            Event::Eof => return,
            _ => {}
        }
    }
}

fn start_element(extractor: &mut ErrorExtractor<'_>, open: &[OpenElement], start: &BytesStart<'_>) -> OpenElement {
    let name = start.local_name();
    let name = std::str::from_utf8(name.as_ref()).unwrap_or_default();
    let cursor = open.last().map(|parent| extractor.descend(&parent.cursor, name)).unwrap_or_default();
    let text = extractor.is_at_field(&cursor).then(String::new);
    OpenElement { cursor: extractor.enter_object(cursor), text }
}

fn end_element(extractor: &mut ErrorExtractor<'_>, element: &OpenElement) {
    if let Some(text) = &element.text {
        extractor.set_field(&element.cursor, text.trim());
    }
}

fn append_text(open: &mut [OpenElement], text: &str) {
    if let Some(so_far) = open.last_mut().and_then(|element| element.text.as_mut()) {
        so_far.push_str(text);
    }
}

/// Resolves a character reference or one of the five predefined XML entities; any other entity is empty.
fn resolve(name: &BytesRef<'_>) -> String {
    let character = name.resolve_char_ref().ok().flatten().map(String::from);
    let entity = || Some(resolve_xml_entity(&name.xml_content().ok()?)?.to_owned());
    character.or_else(entity).unwrap_or_default()
}
