//! Extracts errors from XML: the format of Taobao Open Platform (unless JSON is requested) and of eBay's older APIs.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::extract::{ErrorExtractor, PathCursor};

/// An element whose end tag has not been read yet.
struct OpenElement {
    /// The position of the element; `None` if no error path leads through it.
    cursor: Option<PathCursor>,
    /// The index of the element's first object in the extractor.
    first: usize,
    /// If the element is a field of its parent: the name of the field and the text so far.
    field: Option<(String, String)>,
}

/// Reads up to the first syntax error or the end of a truncated body; errors found before that point are kept.
///
/// Entities that the document declares are not expanded, so an entity bomb has no effect.
pub fn read(text: &str, extractor: &mut ErrorExtractor) {
    let mut reader = Reader::from_str(text);
    let mut open = vec![OpenElement { cursor: Some(extractor.root()), first: 0, field: None }];
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                let element = start_element(extractor, &open, &start);
                open.push(element);
            }
            Event::Empty(start) => {
                let element = start_element(extractor, &open, &start);
                end_element(extractor, &open, element);
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    end_element(extractor, &open, element);
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

fn start_element(extractor: &mut ErrorExtractor, open: &[OpenElement], start: &BytesStart<'_>) -> OpenElement {
    let name = start.local_name();
    let name = std::str::from_utf8(name.as_ref()).unwrap_or_default();
    let Some(cursor) = open.last().and_then(|parent| parent.cursor) else {
        return OpenElement { cursor: None, first: 0, field: None };
    };
    if extractor.needs_field(cursor, name) {
        return OpenElement { cursor: None, first: 0, field: Some((name.to_owned(), String::new())) };
    }
    let cursor = extractor.descend(cursor, name);
    OpenElement { cursor, first: cursor.map_or(0, |cursor| extractor.start_object(cursor)), field: None }
}

fn end_element(extractor: &mut ErrorExtractor, open: &[OpenElement], element: OpenElement) {
    if let Some((name, text)) = element.field
        && let Some(OpenElement { cursor: Some(cursor), first, .. }) = open.last()
    {
        extractor.set_field(*cursor, *first, &name, text.trim());
    }
}

fn append_text(open: &mut [OpenElement], text: &str) {
    if let Some((_, so_far)) = open.last_mut().and_then(|element| element.field.as_mut()) {
        so_far.push_str(text);
    }
}

/// Resolves a character reference or one of the five predefined XML entities; any other entity is empty.
fn resolve(name: &BytesRef<'_>) -> String {
    let character = name.resolve_char_ref().ok().flatten().map(String::from);
    let entity = || Some(resolve_xml_entity(&name.xml_content().ok()?)?.to_owned());
    character.or_else(entity).unwrap_or_default()
}
