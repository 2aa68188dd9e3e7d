//! A table of a file, or the same table in several layers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::renamed_keys;
use super::{EffectiveValue, Layer, Origin, Source, SpannedString, TomlValue, with_suggestion};

/// A table of a file. When it is dropped, it reports the keys that were not requested as unknown.
pub struct Section<'a> {
    /// The table in each layer that has it, in order of precedence; never empty.
    tables: Vec<LayerTable<'a>>,
    path: String,
    requested_keys: Vec<Cow<'static, str>>,
    allows_unknown_keys: bool,
    /// Whether the value of a key is recorded as a value of its own. It is not in a table that is one value itself.
    records_values: bool,
}

/// A table in one layer.
#[derive(Clone, Copy)]
struct LayerTable<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    start: usize,
    /// Whether the table belongs to another section, whose values are the defaults of this one.
    inherited: bool,
}

/// A key with its value in one layer.
pub(super) struct Entry<'a> {
    layer: LayerTable<'a>,
    name: &'a Spanned<DeString<'a>>,
    value: &'a Spanned<DeValue<'a>>,
}

/// A table `[key.NAME]`, or `NAME = false` in its place.
pub(crate) enum NamedTable<'a> {
    Table(Section<'a>),
    Removed(TomlValue<'a>),
}

impl<'a> LayerTable<'a> {
    fn is_of_document(&self) -> bool {
        self.source.layer == Layer::Document && !self.inherited
    }

    fn entry(self, key: &str) -> Option<Entry<'a>> {
        let (name, value) = self.table.get_key_value(key)?;
        Some(Entry { layer: self, name, value })
    }
}

impl<'a> Section<'a> {
    pub(super) fn top(documents: impl Iterator<Item = (&'a Source<'a>, &'a DeTable<'a>)>) -> Self {
        let tables = documents.map(|(source, table)| LayerTable { source, table, start: 0, inherited: false });
        Self::new(tables.collect(), String::new(), true)
    }

    pub(super) fn in_value(source: &'a Source<'a>, table: &'a DeTable<'a>, start: usize, path: String) -> Self {
        Self::new(vec![LayerTable { source, table, start, inherited: false }], path, false)
    }

    fn new(tables: Vec<LayerTable<'a>>, path: String, records_values: bool) -> Self {
        Self { tables, path, requested_keys: vec![], allows_unknown_keys: false, records_values }
    }

    /// Returns the value of `key` as `read` parses it, or `None` if the key is absent or its value is rejected.
    pub fn optional<T>(&mut self, key: &'static str, read: impl FnOnce(&TomlValue<'a>) -> Option<T>) -> Option<T> {
        let entry = self.entry(key)?;
        self.read_entry(&entry, read)
    }

    /// Returns the value of `key` as `read` parses it; reports a missing key.
    pub fn required<T>(&mut self, key: &'static str, read: impl FnOnce(&TomlValue<'a>) -> Option<T>) -> Option<T> {
        if !self.contains_key(key) {
            self.reject_missing(key);
        }
        self.optional(key, read)
    }

    /// Returns whether the section contains `key`, with any value.
    pub fn contains_key(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Returns whether the document itself contains `key`, so that its value is neither a default nor of a preset.
    pub(crate) fn document_contains(&self, key: &str) -> bool {
        self.document_entry(key).is_some()
    }

    /// Returns whether the document itself contains the section.
    pub(crate) fn is_in_document(&self) -> bool {
        self.tables.iter().any(LayerTable::is_of_document)
    }

    /// Returns whether the section has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|layer| layer.table.is_empty())
    }

    /// Returns the table `[key]`, if there is one.
    pub fn table(&mut self, key: &'static str) -> Option<Self> {
        self.entry(key)?;
        self.merged_table(key)
    }

    /// Returns the table `[key]`; reports a missing table.
    pub fn required_table(&mut self, key: &'static str) -> Option<Self> {
        if !self.contains_key(key) {
            self.reject_missing(key);
        }
        self.table(key)
    }

    /// Returns every table `[key.NAME]` with its name and the position of the name, sorted by name.
    pub fn tables(&mut self, key: &'static str) -> Vec<(SpannedString, Self)> {
        let Some(mut parent) = self.table(key) else { return vec![] };
        parent.allow_unknown_keys(); // any name is allowed
        let named = parent.entries().into_values();
        named.filter_map(|entry| Some((entry.spanned_name(), parent.merged_table(entry.name.get_ref())?))).collect()
    }

    /// Returns every table `[key.NAME]` like [`Section::tables`], and every `NAME = false`, which removes the table of
    /// a lower layer.
    pub(crate) fn tables_or_false(&mut self, key: &'static str) -> Vec<(SpannedString, NamedTable<'a>)> {
        let Some(mut parent) = self.table(key) else { return vec![] };
        parent.allow_unknown_keys(); // any name is allowed
        let named = parent.entries().into_values();
        let read = |entry: Entry<'a>| {
            let table = match entry.value.get_ref() {
                DeValue::Table(_) => parent.merged_table(entry.name.get_ref()).map(NamedTable::Table),
                DeValue::Boolean(false) => parent.read_entry(&entry, |value| Some(NamedTable::Removed(value.clone()))),
                _ => {
                    let value = parent.value(&entry);
                    value.reject_type(&format!("a table `[{}]` or false", value.path))
                }
            };
            Some((entry.spanned_name(), table?))
        };
        named.filter_map(read).collect()
    }

    /// Returns every table of the array `[[key]]`, in file order.
    pub fn table_array(&mut self, key: &'static str) -> Vec<Self> {
        let Some(entry) = self.entry(key) else { return vec![] };
        let value = self.value(&entry);
        let DeValue::Array(items) = entry.value.get_ref() else {
            let _: Option<()> = value.reject_type(&format!("tables `[[{}]]`", value.path));
            return vec![];
        };
        let item = |inner| TomlValue { inner, ..value.clone() };
        items.iter().filter_map(|inner| item(inner).table()).collect()
    }

    /// Returns every value of the table `[key]` as `read` parses it, by name.
    pub fn values<T>(&mut self, key: &'static str, read: impl Fn(&TomlValue<'a>) -> Option<T>) -> BTreeMap<String, T> {
        self.table(key).map(|mut table| table.all_values(read)).unwrap_or_default()
    }

    /// Returns the value of every key as `read` parses it, by name.
    pub(crate) fn all_values<T>(&mut self, read: impl Fn(&TomlValue<'a>) -> Option<T>) -> BTreeMap<String, T> {
        self.allow_unknown_keys(); // any name is allowed
        let entries = self.entries().into_values();
        entries.filter_map(|entry| Some((entry.name.get_ref().to_string(), self.read_entry(&entry, &read)?))).collect()
    }

    /// Reads keys that the section does not have from another section.
    pub(crate) fn inherit(&mut self, other: &Self) {
        self.tables.extend(other.tables.iter().map(|table| LayerTable { inherited: true, ..*table }));
    }

    /// Ignores lower layers, so that the section replaces theirs as a whole.
    pub(crate) fn ignore_lower_layers(&mut self) {
        self.tables.truncate(1);
    }

    /// Removes the layers of presets with other names.
    pub(crate) fn keep_presets(&mut self, names: &[&str]) {
        self.tables.retain(|layer| match layer.source.layer {
            Layer::Preset(name) => names.contains(&name),
            Layer::Document | Layer::Defaults => true,
        });
    }

    /// Reports a mistake of the section as a whole, at the position of its header.
    pub fn reject(&self, message: &str) {
        if let Some(layer) = self.tables.first() {
            layer.source.report(layer.start, &self.path, message);
        }
    }

    /// Reports a mistake about `key`, at the position of its value, or of the section's header if the key is absent.
    pub fn reject_value(&self, key: &str, message: &str) {
        let Some(first) = self.tables.first() else { return };
        let at = self.document_entry(key).map(|entry| (entry.layer.source, entry.value.span().start));
        let (source, start) = at.unwrap_or((first.source, first.start));
        source.report(start, &self.path_of(key), message);
    }

    /// Turns off the check for unknown keys, for example in a section whose mistake is already reported.
    pub fn allow_unknown_keys(&mut self) {
        self.allows_unknown_keys = true;
    }

    /// Records the value of a key that [`Section::optional`] does not record. `value` is in TOML syntax.
    pub(crate) fn record(&self, key: &str, value: &str, origin: Origin) {
        if let Some(values) = self.tables.first().and_then(|layer| layer.source.report.values) {
            values.borrow_mut().push(EffectiveValue { key: self.path_of(key), value: value.to_owned(), origin });
        }
    }

    fn reject_missing(&self, key: &str) {
        if !self.tables.iter().any(|layer| layer.source.has_syntax_errors) {
            self.reject(&format!("`{key}` is missing"));
        }
    }

    /// Requests `key`; returns it from the first layer that has it.
    pub(super) fn entry(&mut self, key: impl Into<Cow<'static, str>>) -> Option<Entry<'a>> {
        let key = key.into();
        let entry = self.tables.iter().find_map(|layer| layer.entry(&key));
        if !self.requested_keys.contains(&key) {
            self.requested_keys.push(key);
        }
        entry
    }

    fn document_entry(&self, key: &str) -> Option<Entry<'a>> {
        self.tables.iter().find(|layer| layer.is_of_document()).and_then(|layer| layer.entry(key))
    }

    /// Returns every key from the first layer that has it, by name.
    fn entries(&self) -> BTreeMap<&'a str, Entry<'a>> {
        let mut entries = BTreeMap::new();
        for layer in self.tables.iter().rev() {
            let of_layer = layer.table.iter().map(|(name, value)| Entry { layer: *layer, name, value });
            entries.extend(of_layer.map(|entry| (&**entry.name.get_ref(), entry)));
        }
        entries
    }

    /// Returns the table `key` of all layers.
    fn merged_table(&self, key: &str) -> Option<Self> {
        let path = self.path_of(key);
        let mut tables = vec![];
        for entry in self.tables.iter().filter_map(|layer| layer.entry(key)) {
            match entry.value.get_ref() {
                DeValue::Table(table) => {
                    tables.push(LayerTable { table, start: entry.name.span().start, ..entry.layer });
                }
                _ => drop(self.value(&entry).reject_type::<()>(&format!("a table `[{path}]`"))),
            }
        }
        (!tables.is_empty()).then(|| Self::new(tables, path, self.records_values))
    }

    fn read_entry<T>(&self, entry: &Entry<'a>, read: impl FnOnce(&TomlValue<'a>) -> Option<T>) -> Option<T> {
        let value = self.value(entry);
        let read = read(&value);
        if read.is_some() && self.records_values && !entry.layer.inherited {
            value.record();
        }
        read
    }

    pub(super) fn value(&self, entry: &Entry<'a>) -> TomlValue<'a> {
        let Entry { layer: LayerTable { source, inherited, .. }, name, value } = *entry;
        TomlValue { source, inner: value, path: self.path_of(name.get_ref()), inherited }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Entry<'_> {
    fn spanned_name(&self) -> SpannedString {
        SpannedString::new(self.layer.source, self.name.get_ref(), self.name.span())
    }
}

impl fmt::Debug for Section<'_> {
    /// Shows only the path, because values can be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if self.allows_unknown_keys {
            return;
        }
        let requested: Vec<&str> = self.requested_keys.iter().map(AsRef::as_ref).collect();
        for layer in self.tables.iter().filter(|layer| !layer.inherited) {
            for key in layer.table.keys() {
                let name: &str = key.get_ref();
                if requested.contains(&name) {
                    continue;
                }
                let message = format!("unknown key `{name}`");
                let message = match renamed_keys::new_name(&self.path, name) {
                    Some(new_name) => format!("{message}; it is now named `{new_name}`"),
                    None => with_suggestion(message, name, &requested),
                };
                layer.source.report(key.span().start, &self.path, &message);
            }
        }
    }
}
