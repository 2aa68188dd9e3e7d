//! Error shapes: where a platform puts errors in its responses, and what makes a response an error.

use std::fmt;
use std::str::FromStr;

use super::reader::{self, Diagnostics, Section, TomlValue, one_or_list, parsed, scalar_text};
use crate::failure::is_header_name;
use crate::text::one_line;

/// One place where a platform puts errors in its responses: the path of an object in the body, the fields of the
/// object, and the conditions under which the object is an error.
///
/// The object is an error if it is present and every condition that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorShape {
    /// The names from the top level of the body to the object; empty for the top level itself. If the path leads to a
    /// list, each item is an object. In XML, the first name is the name of the root element.
    pub at: Vec<NamePattern>,
    /// The fields that can contain the code; the first one that is present is used.
    pub code: Vec<FieldPath>,
    /// The fields that can contain the sub code; the first one that is present is used.
    pub sub_code: Vec<FieldPath>,
    /// The fields that can contain the message; the first one that is present is used.
    pub message: Vec<FieldPath>,
    /// The response header with the code, if the body has none: the part of its value before a colon.
    pub code_header: Option<String>,
    /// The response header with the sub code, if the body has none.
    pub sub_code_header: Option<String>,
    /// The response header with the message, if the body has none.
    pub message_header: Option<String>,
    /// A condition: there is a code, and it is none of these.
    pub success_codes: Option<Vec<String>>,
    /// A condition: there is a code, and it is one of these.
    pub error_codes: Option<Vec<String>>,
    /// A condition: each of these fields has one of its values.
    pub when: Vec<FieldValues>,
    /// A condition: none of these fields has one of its values.
    pub unless: Vec<FieldValues>,
}

/// The names from an object to one of its fields.
pub type FieldPath = Vec<String>;

/// A field and some of its values, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldValues {
    /// The field.
    pub field: FieldPath,
    /// The values.
    pub values: Vec<String>,
}

impl FieldValues {
    /// Creates a condition about a field, which is the names from the object to it, and some of its values.
    ///
    /// ```
    /// use tidegate_core::config::{ErrorShape, FieldValues};
    /// let mut shape = ErrorShape::default();
    /// shape.when.push(FieldValues::new(["result", "ok"], ["false"]));
    /// assert_eq!(shape, "when = { 'result/ok' = false }".parse()?);
    /// # Ok::<(), tidegate_core::config::reader::Diagnostics>(())
    /// ```
    #[must_use]
    pub fn new(
        field: impl IntoIterator<Item = impl Into<String>>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let field = field.into_iter().map(Into::into).collect();
        Self { field, values: values.into_iter().map(Into::into).collect() }
    }
}

/// A name in the path of an object. A leading `*` matches any prefix.
///
/// ```
/// use tidegate_core::config::NamePattern;
/// let pattern: NamePattern = "*_response".parse()?;
/// assert!(pattern.matches("trade_get_response") && !pattern.matches("response_body"));
/// # Ok::<(), tidegate_core::config::ParseNamePatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Returns whether the pattern matches a name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => name.ends_with(suffix),
            None => self.0 == name,
        }
    }
}

impl FromStr for NamePattern {
    type Err = ParseNamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_prefix('*').unwrap_or(text);
        let is_valid = !text.is_empty() && !name.contains('*');
        if is_valid { Ok(Self(text.to_owned())) } else { Err(ParseNamePatternError { text: text.to_owned() }) }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error of a text that is not a [`NamePattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name such as \"error\" or \"*_response\", found {text:?}")]
pub struct ParseNamePatternError {
    text: String,
}

/// Reads the keys of an error shape as a TOML document.
///
/// ```
/// use tidegate_core::config::ErrorShape;
/// let shape: ErrorShape = "at = '/err'\ncode = 'no'\nmessage = 'text'".parse()?;
/// assert_eq!((shape.at[0].to_string(), shape.code[0][0].as_str()), ("err".to_owned(), "no"));
/// let error = "at = 'err'".parse::<ErrorShape>().unwrap_err().to_string();
/// assert!(error.starts_with("1:6: at: expected the path of an object"));
/// # Ok::<(), tidegate_core::config::reader::Diagnostics>(())
/// ```
impl FromStr for ErrorShape {
    type Err = Diagnostics;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        reader::read(text, read_shape)
    }
}

impl ErrorShape {
    /// Returns whether the shape reads headers only, so that it needs no object in the body.
    #[must_use]
    pub fn reads_only_headers(&self) -> bool {
        self.at.is_empty() && self.fields().next().is_none()
    }

    /// Returns every field that the shape reads, with repetitions: code, sub code, message, `when`, `unless`.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        let conditions = self.when.iter().chain(&self.unless).map(|condition| &condition.field);
        self.code.iter().chain(&self.sub_code).chain(&self.message).chain(conditions)
    }
}

/// Reads an error shape.
pub(super) fn read_error_shape(value: &TomlValue<'_>) -> Option<ErrorShape> {
    read_shape(&mut value.table()?)
}

/// Reads the keys of an error shape.
fn read_shape(section: &mut Section<'_>) -> Option<ErrorShape> {
    let at = given(section, "at", parsed(parse_at));
    let [code, sub_code, message] = ["code", "sub_code", "message"]
        .map(|key| given(section, key, one_or_list(|value| parsed(parse_field)(value))).map(Option::unwrap_or_default));
    let [code_header, sub_code_header, message_header] =
        ["code_header", "sub_code_header", "message_header"].map(|key| given(section, key, parsed(parse_header_name)));
    let [success_codes, error_codes] =
        ["success_codes", "error_codes"].map(|key| given(section, key, one_or_list(scalar_text)));
    let [when, unless] =
        ["when", "unless"].map(|key| given(section, key, read_conditions).map(Option::unwrap_or_default));
    let shape = ErrorShape {
        at: at?.unwrap_or_default(),
        code: code?,
        sub_code: sub_code?,
        message: message?,
        code_header: code_header?,
        sub_code_header: sub_code_header?,
        message_header: message_header?,
        success_codes: success_codes?,
        error_codes: error_codes?,
        when: when?,
        unless: unless?,
    };
    match check_shape(&shape) {
        Ok(()) => {}
        Err((Some(key), message)) => section.reject_value(key, &message),
        Err((None, message)) => section.reject(&message),
    }
    Some(shape)
}

/// Reads a key that may be absent. The outer `None` is a rejected value, the inner one an absent key.
fn given<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    read: impl FnOnce(&TomlValue<'a>) -> Option<T>,
) -> Option<Option<T>> {
    if section.contains_key(key) { section.optional(key, read).map(Some) } else { Some(None) }
}

/// Reads the table of `when` or `unless`.
fn read_conditions(value: &TomlValue<'_>) -> Option<Vec<FieldValues>> {
    let mut table = value.table()?;
    let values = table.all_values(|value| one_or_list(scalar_text)(value));
    let conditions: Vec<_> = values.into_iter().map(|(name, values)| (parse_field(&name), values)).collect();
    if conditions.is_empty() && table.is_empty() {
        return value.reject("expected at least one field with its value, such as { success = false }");
    }
    let read = |(field, values): (Result<FieldPath, String>, Vec<String>)| match field {
        Ok(field) => Some(FieldValues { field, values }),
        Err(error) => value.reject(&error),
    };
    conditions.into_iter().map(read).collect()
}

/// Checks the names of the fields and of the headers. Those that were parsed are valid.
///
/// # Errors
/// Returns the key of the first invalid name, and the message.
pub(super) fn check_names<'a>(shape: &'a ErrorShape) -> Result<(), (&'static str, String)> {
    let of_conditions = |conditions: &'a [FieldValues]| conditions.iter().map(|condition| &condition.field).collect();
    let fields: [(_, Vec<&FieldPath>); 5] = [
        ("code", shape.code.iter().collect()),
        ("sub_code", shape.sub_code.iter().collect()),
        ("message", shape.message.iter().collect()),
        ("when", of_conditions(&shape.when)),
        ("unless", of_conditions(&shape.unless)),
    ];
    for (key, paths) in fields {
        if let Some(path) = paths.into_iter().find(|path| path.is_empty() || path.iter().any(String::is_empty)) {
            return Err((key, field_mismatch(&path.join("/"))));
        }
    }
    let headers = [
        ("code_header", &shape.code_header),
        ("sub_code_header", &shape.sub_code_header),
        ("message_header", &shape.message_header),
    ];
    headers.into_iter().try_for_each(|(key, header)| {
        header.as_deref().map_or(Ok(()), check_header_name).map_err(|message| (key, message))
    })
}

/// Checks that the conditions do not make every response an error, or none.
///
/// # Errors
/// Returns the message and, if one key causes the mistake, its name.
pub(super) fn check_shape(shape: &ErrorShape) -> Result<(), (Option<&'static str>, String)> {
    let has_code = !shape.code.is_empty() || shape.code_header.is_some();
    let codes = [("success_codes", &shape.success_codes), ("error_codes", &shape.error_codes)];
    let given: Vec<_> = codes.into_iter().filter(|(_, codes)| codes.is_some()).map(|(key, _)| key).collect();
    let is_excluded = |condition: &&FieldValues| {
        let mut unless = shape.unless.iter().filter(|unless| unless.field == condition.field);
        unless.any(|unless| condition.values.iter().all(|value| unless.values.contains(value)))
    };
    match given[..] {
        [_, second] => return Err((Some(second), "expected only one of `success_codes` and `error_codes`".to_owned())),
        [key] if !has_code => return Err((Some(key), format!("`{key}` requires `code` or `code_header`"))),
        [] if shape.at.is_empty() && shape.when.is_empty() && shape.unless.is_empty() => {
            let message = "every response would be an error; give the path of the error object as `at`, or a condition: \
                           `success_codes`, `error_codes`, `when` or `unless`";
            return Err((None, message.to_owned()));
        }
        _ => {}
    }
    if shape.error_codes.as_ref().is_some_and(Vec::is_empty) {
        let message = "expected at least one code; without one, no response is an error";
        return Err((Some("error_codes"), message.to_owned()));
    }
    match shape.when.iter().find(is_excluded) {
        None => Ok(()),
        Some(FieldValues { field, .. }) => {
            let field = field.join("/");
            let message =
                format!("`unless` excludes every value of `{field}` that `when` allows, so no response is an error");
            Err((Some("unless"), message))
        }
    }
}

/// Parses the path of an object, a JSON pointer (RFC 6901) whose names may start with `*`.
fn parse_at(text: &str) -> Result<Vec<NamePattern>, String> {
    let mismatch =
        || format!("expected the path of an object such as \"/error\" or \"/*_response/error\", found {text:?}");
    if text.is_empty() {
        return Ok(vec![]);
    }
    let names = parse_names(text.strip_prefix('/').ok_or_else(mismatch)?).ok_or_else(mismatch)?;
    let patterns = names.iter().map(|name| name.parse()).collect::<Result<_, ParseNamePatternError>>();
    patterns.map_err(|_| format!("expected `*` only at the start of a name, found {text:?}"))
}

/// Parses the path of a field, which starts at the object.
fn parse_field(text: &str) -> Result<FieldPath, String> {
    parse_names(text).ok_or_else(|| field_mismatch(text))
}

/// Returns the message about an invalid path of a field.
fn field_mismatch(text: &str) -> String {
    format!("expected a field of the object at `at`, such as \"code\" or \"detail/code\", found {text:?}")
}

/// Splits a path at its slashes. In a name, `~1` is a slash and `~0` is a tilde. Returns `None` if a name is empty or
/// contains any other `~`.
fn parse_names(text: &str) -> Option<Vec<String>> {
    let is_valid = |name: &str| !name.is_empty() && name.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    let unescape = |name: &str| is_valid(name).then(|| name.replace("~1", "/").replace("~0", "~"));
    text.split('/').map(unescape).collect()
}

/// Parses the name of a header; returns it in lower case.
pub(super) fn parse_header_name(text: &str) -> Result<String, String> {
    if is_header_name(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("expected a valid header name such as `x-error-code`, found `{}`", one_line(text, 60)))
    }
}

/// Checks the name of a header that a program gives.
pub(super) fn check_header_name(name: &str) -> Result<(), String> {
    let lower_case = parse_header_name(name)?;
    if lower_case == name { Ok(()) } else { Err(format!("expected {lower_case:?}, in lower case, found {name:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Parses the error shapes of a platform; `error` is on line 2.
    fn parse(error: &str) -> Result<Vec<ErrorShape>, Vec<String>> {
        let text = format!("limits.shop = {{ rate = '1/s', burst = 1 }}\nplatforms.shop.error = {error}");
        let config = Config::parse(&text);
        config
            .map(|config| config.error_shapes("shop").to_vec())
            .map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_key_sets_its_field() {
        let error = "{ at = '/a~1b/*_c', code = 'no', sub_code = ['x', 'y/z'], message = 'text', code_header = 'X-Code', \
                     sub_code_header = 'X-Sub', message_header = 'X-Message', success_codes = [0, 'ok'], \
                     when = { ok = false }, unless = { 'a/b' = ['x', true] } }";
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = ErrorShape {
            at: names(&["a/b", "*_c"]).into_iter().map(NamePattern).collect(),
            code: vec![names(&["no"])],
            sub_code: vec![names(&["x"]), names(&["y", "z"])],
            message: vec![names(&["text"])],
            code_header: Some("x-code".to_owned()),
            sub_code_header: Some("x-sub".to_owned()),
            message_header: Some("x-message".to_owned()),
            success_codes: Some(names(&["0", "ok"])),
            error_codes: None,
            when: vec![FieldValues { field: names(&["ok"]), values: names(&["false"]) }],
            unless: vec![FieldValues { field: names(&["a", "b"]), values: names(&["x", "true"]) }],
        };
        assert_eq!(parse(error).unwrap(), [expected]);
    }

    #[test]
    fn shapes_are_one_table_or_a_list() {
        let rows = [
            ("{ at = '/err' }", 1),
            ("[]", 0),
            ("[{ at = '/err' }, { code = 'no', error_codes = 7 }]", 2),
            ("{ code_header = 'x', success_codes = [] }", 1),
            ("{ when = { ok = ['a', 'b'] }, unless = { ok = 'b' } }", 1),
            ("{ at = '/~0~1' }", 1),
        ];
        for (error, count) in rows {
            assert_eq!(parse(error).unwrap().len(), count, "{error}");
        }
        let tables = "[limits.shop]\nrate = '1/s'\nburst = 1\n[[platforms.shop.error]]\nat = '/a'\n\
                      [[platforms.shop.error]]\nat = '/b'\n[platforms.shop.error.when]\nok = false";
        let config = Config::parse(tables).unwrap();
        assert_eq!(config.error_shapes("shop").len(), 2);
    }

    #[test]
    fn each_mistake_gets_one_error_with_its_position() {
        let object = "expected the path of an object such as \"/error\" or \"/*_response/error\", found";
        let field = "expected a field of the object at `at`, such as \"code\" or \"detail/code\", found";
        let rows = [
            ("'err'", "24: error: expected a table `[platforms.shop.error]`, found a string".to_owned()),
            ("['err']", "25: error: expected a table `[platforms.shop.error]`, found a string".to_owned()),
            ("{ at = 'err' }", format!("31: error.at: {object} \"err\"")),
            ("{ at = '/err/' }", format!("31: error.at: {object} \"/err/\"")),
            ("{ at = '//err' }", format!("31: error.at: {object} \"//err\"")),
            ("{ at = '/e~2r' }", format!("31: error.at: {object} \"/e~2r\"")),
            ("{ at = '/err', code = 'no~' }", format!("46: error.code: {field} \"no~\"")),
            (
                "{ code = 'no', error_codes = [] }",
                "53: error.error_codes: expected at least one code; without one, no response is an error".to_owned(),
            ),
            (
                "{ when = { ok = 'a', 'b/c' = ['x', 'y'] }, unless = { 'b/c' = ['y', 'z', 'x'] } }",
                "76: error.unless: `unless` excludes every value of `b/c` that `when` allows, so no response is an error".to_owned(),
            ),
            ("{ at = '/e*r' }", "31: error.at: expected `*` only at the start of a name, found \"/e*r\"".to_owned()),
            ("{ at = '/**' }", "31: error.at: expected `*` only at the start of a name, found \"/**\"".to_owned()),
            ("{ at = '/err', code = '/no' }", format!("46: error.code: {field} \"/no\"")),
            ("{ at = '/err', code = ['no', ''] }", format!("53: error.code: {field} \"\"")),
            ("{ at = '/err', code = 5 }", "46: error.code: expected a string in quotes, found an integer".to_owned()),
            (
                "{ at = '/err', code_header = 'x y' }",
                "53: error.code_header: expected a valid header name such as `x-error-code`, found `x y`".to_owned(),
            ),
            ("{ at = '/err', msg = 'text' }", {
                let keys = "`at`, `code`, `sub_code`, `message`, `code_header`, `sub_code_header`, `message_header`, \
                            `success_codes`, `error_codes`, `when`, `unless`";
                format!("39: error: unknown key `msg`; expected one of {keys}")
            }),
            (
                "{ code = 'no', message = 'text' }",
                "24: error: every response would be an error; give the path of the error object as `at`, or a condition: \
                 `success_codes`, `error_codes`, `when` or `unless`"
                    .to_owned(),
            ),
            (
                "{ at = '/err', success_codes = 0 }",
                "55: error.success_codes: `success_codes` requires `code` or `code_header`".to_owned(),
            ),
            (
                "{ code = 'no', success_codes = 0, error_codes = 1 }",
                "72: error.error_codes: expected only one of `success_codes` and `error_codes`".to_owned(),
            ),
            (
                "{ code = 'no', success_codes = [0.5] }",
                "56: error.success_codes: expected a string in quotes, a whole number, true or false, found a float"
                    .to_owned(),
            ),
            (
                "{ when = {} }",
                "33: error.when: expected at least one field with its value, such as { success = false }".to_owned(),
            ),
            ("{ when = false }", "33: error.when: expected a table `[platforms.shop.error.when]`, found a boolean".to_owned()),
            ("{ when = { '/ok' = false } }", format!("33: error.when: {field} \"/ok\"")),
        ];
        for (error, expected) in rows {
            let (column, message) = expected.split_once(": ").unwrap();
            assert_eq!(parse(error).unwrap_err(), [format!("2:{column}: platforms.shop.{message}")], "{error}");
        }
    }
}
