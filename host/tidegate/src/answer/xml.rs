//! Looks for errors in XML: TOP answers so unless it is asked for JSON, and so do eBay's older APIs.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::found::{Found, Way};

/// An element that is open.
struct Element {
    /// Where it leads; `None` where to no error.
    way: Option<Way>,
    opened: usize,
    /// The field that it is of the element around it, with its text so far.
    field: Option<(String, String)>,
}

/// Reads as far as the text is XML; what was found before a mistake, or before the end of a cut body, counts.
///
/// Entities that a document declares are not resolved, so none can grow.
pub fn read(text: &str, found: &mut Found) {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element { way: Some(found.top()), opened: 0, field: None }];
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                let element = begin(found, &open, &start);
                open.push(element);
            }
            Event::Empty(start) => {
                let element = begin(found, &open, &start);
                end(found, &open, element);
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    end(found, &open, element);
                }
            }
            Event::Text(text) => add(&mut open, &text.xml_content().unwrap_or_default()),
            Event::CData(text) => add(&mut open, &text.xml_content().unwrap_or_default()),
            Event::GeneralRef(name) => add(&mut open, &resolved(&name)),
            Event::Eof => return,
            _ => {}
        }
    }
}

fn begin(found: &mut Found, open: &[Element], start: &BytesStart<'_>) -> Element {
    let name = start.local_name();
    let name = std::str::from_utf8(name.as_ref()).unwrap_or_default();
    let Some(way) = open.last().and_then(|around| around.way) else {
        return Element { way: None, opened: 0, field: None };
    };
    if found.wants(way, name) {
        return Element { way: None, opened: 0, field: Some((name.to_owned(), String::new())) };
    }
    let way = found.down(way, name);
    Element { way, opened: way.map_or(0, |way| found.open(way)), field: None }
}

fn end(found: &mut Found, open: &[Element], element: Element) {
    if let Some((name, text)) = element.field
        && let Some(Element { way: Some(way), opened, .. }) = open.last()
    {
        found.put(*way, *opened, &name, text.trim());
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some((_, so_far)) = open.last_mut().and_then(|element| element.field.as_mut()) {
        so_far.push_str(text);
    }
}

/// A character by its number, or one of XML's own five entities.
fn resolved(name: &BytesRef<'_>) -> String {
    let character = name.resolve_char_ref().ok().flatten().map(String::from);
    let entity = || Some(resolve_xml_entity(&name.xml_content().ok()?)?.to_owned());
    character.or_else(entity).unwrap_or_default()
}
