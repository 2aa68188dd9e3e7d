//! Collects the error objects of a response body; shared by the JSON and the XML reader.

use super::shape::{ErrorCondition, ErrorShape};

/// The maximum number of objects to keep; the first entries of a long error list are enough.
const MAX_OBJECTS: usize = 16;
/// The maximum size of a kept field value, in bytes; values go to policies and to logs.
const MAX_FIELD_SIZE: usize = 8 * 1024;

/// Collects the objects at the paths where a platform puts its errors.
pub struct ErrorExtractor {
    shapes: &'static [ErrorShape],
    objects: Vec<CandidateObject>,
}

struct CandidateObject {
    /// The index of the shape that matches the object.
    shape: usize,
    fields: Vec<(String, String)>,
}

/// The position of a reader in a body.
#[derive(Clone, Copy)]
pub struct PathCursor {
    /// The shapes whose path still matches, one bit per shape.
    shapes: u32,
    /// The number of names between the top level and this position.
    depth: usize,
}

/// The contents of an error object.
#[derive(Default)]
pub struct ErrorFields {
    pub code: Option<String>,
    pub sub_code: Option<String>,
    pub message: Option<String>,
}

impl ErrorExtractor {
    pub const fn new(shapes: &'static [ErrorShape]) -> Self {
        Self { shapes, objects: vec![] }
    }

    /// Returns the cursor for the top level of a body.
    pub const fn root(&self) -> PathCursor {
        PathCursor { shapes: u32::MAX, depth: 0 }
    }

    /// Moves the cursor down to `name`; returns `None` if no shape has a path there.
    pub fn descend(&self, cursor: PathCursor, name: &str) -> Option<PathCursor> {
        let matches = self.matching(cursor).filter(|(_, shape)| shape.continues_with(cursor.depth, name));
        let shapes = matches.fold(0, |shapes, (index, _)| shapes | 1 << index);
        (shapes != 0).then_some(PathCursor { shapes, depth: cursor.depth + 1 })
    }

    /// Starts an object at the cursor; returns its index for [`Self::set_field`].
    pub fn start_object(&mut self, cursor: PathCursor) -> usize {
        let first = self.objects.len();
        let new = self.ending_here(cursor).map(|(shape, _)| CandidateObject { shape, fields: vec![] });
        self.objects.extend(new);
        self.objects.truncate(MAX_OBJECTS);
        first
    }

    /// Returns whether an object at the cursor needs the field `name`.
    pub fn needs_field(&self, cursor: PathCursor, name: &str) -> bool {
        self.ending_here(cursor).any(|(_, shape)| shape.needs_field(name))
    }

    /// Stores a field of the object that started at index `first`; the last value of a repeated name wins.
    pub fn set_field(&mut self, cursor: PathCursor, first: usize, name: &str, value: &str) {
        let value = &value[..value.floor_char_boundary(MAX_FIELD_SIZE)];
        let count = self.ending_here(cursor).count();
        for object in self.objects.iter_mut().skip(first).take(count) {
            object.fields.retain(|(known, _)| known != name);
            object.fields.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Returns the first error, in the order of the shapes.
    pub fn error(&self) -> Option<ErrorFields> {
        let of_shape = |index| self.objects.iter().filter(move |object| object.shape == index);
        let all = self.shapes.iter().enumerate();
        let mut all = all.flat_map(|(index, shape)| of_shape(index).map(move |object| (shape, object)));
        let (shape, object) = all.find(|(shape, object)| object.is_error(shape))?;
        let [code, sub_code, message] =
            [shape.code, shape.sub_code, shape.message].map(|names| object.first(names).map(str::to_owned));
        Some(ErrorFields { code, sub_code, message })
    }

    fn matching(&self, cursor: PathCursor) -> impl Iterator<Item = (usize, &'static ErrorShape)> + use<> {
        self.shapes.iter().enumerate().filter(move |(index, _)| cursor.shapes >> index & 1 == 1)
    }

    fn ending_here(&self, cursor: PathCursor) -> impl Iterator<Item = (usize, &'static ErrorShape)> + use<> {
        self.matching(cursor).filter(move |(_, shape)| shape.depth() == cursor.depth)
    }
}

impl CandidateObject {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.field(name))
    }

    fn is_error(&self, shape: &ErrorShape) -> bool {
        let code = self.first(shape.code);
        match shape.condition {
            ErrorCondition::Present => true,
            ErrorCondition::CodeNotIn(success) => code.is_some_and(|code| !success.contains(&code)),
            ErrorCondition::CodeIn(errors) => code.is_some_and(|code| errors.contains(&code)),
            ErrorCondition::FieldIs(field, value) => self.field(field) == Some(value),
            ErrorCondition::FieldIsNot(field, value) => self.field(field) != Some(value),
        }
    }
}
